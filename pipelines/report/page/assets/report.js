"use strict";
// The report's samples are embedded in the page.
(() => {
  const all = JSON.parse(document.getElementById("samples").textContent);
  const byKey = new Map(all.map((card) => [card.key, card]));
  const shown = all.filter((card) => card.state !== "partner");
  const texts = new Map(shown.map((c) => [c.key, [c.id, c.detail || "", ...Object.values(c.answered || {}), ...c.turns.flatMap((t) => t.parts.map((p) => p.text || ""))].join("\n").toLowerCase()]));
  const pageSize = 24;
  const source = {
    facets: async () => ({
      ...Object.fromEntries(["corpus", "modality", "category", "reason", "cot"].map((f) => [f, [...new Set(shown.map((c) => c[f]).filter(Boolean))].sort()])),
      state: [...new Set(shown.filter((c) => c.answered).map((c) => c.state))].sort(),
    }),
    query: async (wanted, page) => {
      const words = (wanted.q || "").toLowerCase().split(/\s+/).filter(Boolean);
      const found = shown.filter((card) => Object.entries(wanted).every(([f, v]) => f === "q" || (f === "state" && v === "picked" ? card.picked : f === "state" && v === "pair" ? card.partner : card[f] === v)) && words.every((w) => texts.get(card.key).includes(w)));
      return { total: found.length, cards: found.slice(page * pageSize, (page + 1) * pageSize) };
    },
    get: async (key) => byKey.get(key),
  };
  smolmixBrowser(source, "media/");
})();
