"use strict";
// Shows samples. Every text from data goes in through textContent, never as markup.
const smolmixCards = (() => {
  const svgSpace = "http://www.w3.org/2000/svg";

  function make(tag, properties = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
      if (name === "class") node.className = value;
      else if (name in node) node[name] = value;
      else node.setAttribute(name, value);
    }
    node.append(...children.filter((c) => c !== null && c !== undefined));
    return node;
  }

  function badges(card) {
    const box = make("div", { class: "badges" });
    const add = (text, kind = "") => text && box.append(make("span", { class: "badge " + kind }, text));
    add(card.corpus);
    add(card.modality);
    add(card.category);
    if (card.cot && card.cot !== "none") add("CoT " + card.cot);
    if (card.split === "heldout") add("held out");
    if (card.picked) add("in the mixture");
    if (card.reason) add(card.reason, "dropped");
    if (card.answered) add(card.state, card.state === "answered wrong" ? "dropped" : "");
    if (card.answered) add(card.answered.run);
    return box;
  }

  function firstText(card) {
    if (card.answered) return `${card.answered.question}\nExpected: ${card.answered.expected}\nAnswered: ${card.answered.answer}`.slice(0, 400);
    for (const turn of card.turns) for (const part of turn.parts) if (part.text && part.text.trim()) return part.text.slice(0, 400);
    return card.detail || card.id;
  }

  function cover(card, pictures) {
    for (const medium of card.media) {
      const name = medium.picture || (medium.frames && medium.frames.length && medium.frames[0].picture);
      if (name) return make("img", { src: pictures + name, alt: "", loading: "lazy" });
    }
    return null;
  }

  function compact(card, pictures, link) {
    return make("li", {}, make("a", { class: "card", href: link(card.key) }, cover(card, pictures), badges(card), make("span", { class: "excerpt" }, firstText(card))));
  }

  function gridLines(rows, cols) {
    const svg = document.createElementNS(svgSpace, "svg");
    svg.setAttribute("viewBox", `0 0 ${cols} ${rows}`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("aria-hidden", "true");
    svg.setAttribute("class", "grid");
    const line = (x1, y1, x2, y2, stroke, width) => {
      const node = document.createElementNS(svgSpace, "line");
      for (const [k, v] of Object.entries({ x1, y1, x2, y2, stroke, "stroke-width": width, "vector-effect": "non-scaling-stroke" })) node.setAttribute(k, v);
      svg.append(node);
    };
    for (const [stroke, width] of [["#000", 3], ["#fff", 1]]) {
      for (let c = 0; c <= cols; c++) line(c, 0, c, rows, stroke, width);
      for (let r = 0; r <= rows; r++) line(0, r, cols, r, stroke, width);
    }
    return svg;
  }

  function image(medium, index, pictures) {
    const [rows, cols] = medium.grid || [0, 0];
    const cut = rows ? `split into ${rows} × ${cols} sub-images and a downscaled one` : medium.grid ? "not split" : "";
    const alt = `Image ${index + 1} of the sample, ${medium.width} × ${medium.height} pixels${cut ? ", " + cut : ""}`;
    const box = make("div", { class: "picture" }, make("img", { src: pictures + medium.picture, alt, loading: "lazy", class: Math.max(medium.width, medium.height) < 200 ? "tiny" : "" }));
    if (rows) box.append(gridLines(rows, cols));
    return make("div", {}, box, make("p", { class: "about" }, `${medium.format} ${medium.width} × ${medium.height} px${cut ? ": " + cut : ""}`));
  }

  function video(medium, index, pictures) {
    const strip = make("div", { class: "strip", tabIndex: 0, role: "group", "aria-label": `Frames of video ${index + 1}` });
    for (const frame of medium.frames || []) {
      strip.append(make("figure", {}, make("img", { src: pictures + frame.picture, alt: `Frame at ${frame.t} seconds`, loading: "lazy" }), make("figcaption", {}, `${frame.t} s`)));
    }
    const shown = (medium.frames || []).length;
    const note = `${medium.format} ${medium.width} × ${medium.height} px, ${medium.duration_s} s, ${medium.sampled} frames sampled${shown < medium.sampled ? `, ${shown} shown` : ""}`;
    return make("div", {}, strip, make("p", { class: "about" }, note));
  }

  function medium(one, index, pictures) {
    if (one.error) return make("p", { class: "note" }, `Image or clip ${index + 1} cannot be shown: ${one.error}`);
    return one.kind === "image" ? image(one, index, pictures) : video(one, index, pictures);
  }

  function mediumName(media, index) {
    const one = media[index];
    return `${one ? one.kind : "medium"} ${index + 1}`;
  }

  function turn(one, media) {
    const box = make("div", { class: "turn " + one.role, tabIndex: 0, role: "group", "aria-label": "Turn of the " + one.role }, make("b", {}, one.role));
    for (const part of one.parts) {
      if (part.media !== undefined) box.append(make("span", { class: "badge" }, mediumName(media, part.media)));
      else box.append(part.text + (part.more ? ` … (${part.more} more characters)` : ""));
    }
    return box;
  }

  const kinds = { t: "text", s: "special token", m: "image marker", i: "image tokens" };

  function tokens(rendered) {
    const box = make("div", { class: "tokens", tabIndex: 0, role: "group", "aria-label": "Rendered tokens" });
    for (const [kind, on, run] of rendered.runs) {
      const look = kind + (on ? " on" : "");
      const title = kinds[kind] + (on ? ", counted in the loss" : ", not counted in the loss");
      if (kind === "i") box.append(make("span", { class: look, title }, `<image> × ${run}`));
      else for (const token of run) box.append(make("span", { class: look, title }, token.replaceAll("\n", "⏎\n")));
    }
    if (rendered.more) box.append(make("em", {}, ` … ${rendered.more} more tokens`));
    const legend = make("div", { class: "tokens legend" });
    for (const [kind, name] of Object.entries(kinds)) legend.append(make("span", { class: kind }, name));
    legend.append(make("span", { class: "t on" }, "counted in the loss"));
    const count = `${rendered.tokens} tokens, ${rendered.supervised} supervised`;
    return make("div", {}, make("h4", {}, "As the model sees it: " + count), legend, box);
  }

  function answered(one) {
    const list = make("dl", { class: "meta answered" });
    const add = (name, value) => value !== null && value !== undefined && list.append(make("dt", {}, name), make("dd", {}, String(value) || "(nothing)"));
    add("question", one.question);
    add("expected", one.expected);
    add(`answer of ${one.run}`, one.answer);
    add("answer from the question alone", one.baseline_answer);
    add(one.metric, Math.round(1000 * one.score) / 1000);
    add("judge's answer", one.judge_answer);
    add("judge's score", one.judge_score);
    add("judge's reply", one.judge_reply);
    add("judge failed", one.judge_error || null);
    return list;
  }

  function facts(card) {
    const list = make("dl", { class: "meta" });
    const add = (name, value) => value && list.append(make("dt", {}, name), make("dd", {}, value));
    add("id", card.id);
    add("reason", card.reason && `${card.reason} (${card.stage})`);
    add("detail", card.detail);
    add("kept copy", card.kept_id);
    add("licence", card.licence);
    add("language", card.language);
    add("subset", card.subset);
    add("CoT evidence", card.cot_evidence);
    add("errors", (card.errors || []).join("; "));
    add("tags", Object.entries(card.tags || {}).map(([k, v]) => `${k} ${v}`).join(", "));
    add("source", card.source);
    return list;
  }

  function full(card, pictures) {
    const box = make("article", { "data-key": card.key }, badges(card));
    if (card.answered) box.append(answered(card.answered));
    box.append(make("div", { class: "media" }, ...card.media.map((one, index) => medium(one, index, pictures))));
    if (card.media_more) box.append(make("p", { class: "about" }, `${card.media_more} more images or clips are not shown`));
    card.turns.forEach((one) => box.append(turn(one, card.media)));
    if (card.rendered) box.append(tokens(card.rendered));
    box.append(facts(card));
    return box;
  }

  return { make, compact, full };
})();
