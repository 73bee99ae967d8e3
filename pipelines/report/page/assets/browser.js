"use strict";
// The sample browser: filters and samples live in the address, so any view can be linked to.
//   #browse?corpus=easy-vqa&reason=duplicate-exact      #sample=<key>
function smolmixBrowser(source, pictures) {
  const { make, compact, full } = smolmixCards;
  const form = document.getElementById("filters");
  const list = document.getElementById("cards");
  const status = document.getElementById("status");
  const more = document.getElementById("more");
  const dialog = document.getElementById("sample");
  const body = document.getElementById("sample-body");
  const fields = ["corpus", "modality", "category", "state", "reason", "cot", "q"];
  let page = 0, opened = null, turn = 0;

  const link = (key) => "#sample=" + key;
  const filters = () => Object.fromEntries(fields.map((f) => [f, form.elements[f].value]).filter(([, v]) => v !== ""));

  async function fill() {
    const facets = await source.facets();
    for (const [name, values] of Object.entries(facets)) {
      const select = form.elements[name];
      for (const value of values) select.append(make("option", { value }, value));
    }
  }

  async function show(reset) {
    const mine = ++turn;
    if (reset) page = 0;
    const found = await source.query(filters(), page);
    if (mine !== turn) return;
    if (reset) list.replaceChildren();
    const added = found.cards.map((card) => compact(card, pictures, link));
    list.append(...added);
    status.textContent = found.total === 1 ? "1 sample" : `${found.total.toLocaleString("en")} samples`;
    more.hidden = list.childElementCount >= found.total;
    if (!reset && added.length) added[0].firstChild.focus();
    page += 1;
  }

  async function open(key) {
    const card = await source.get(key).catch(() => null);
    document.getElementById("sample-title").textContent = card ? card.id : "Sample";
    if (!card) {
      body.replaceChildren(make("p", { class: "note" }, "No such sample."));
    } else {
      const pair = make("div", { class: "pair" }, full(card, pictures));
      const partner = card.partner ? await source.get(card.partner) : null;
      if (partner) {
        const box = full(partner, pictures);
        box.prepend(make("h4", {}, "The copy that was kept"));
        pair.append(box);
      }
      body.replaceChildren(pair);
    }
    opened = key;
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
  }

  function address(text) {
    history.replaceState(null, "", text);
  }

  function filterAddress() {
    const query = new URLSearchParams(filters()).toString();
    return "#browse" + (query ? "?" + query : "");
  }

  async function follow() {
    const hash = location.hash;
    if (hash.startsWith("#sample=")) return open(hash.slice(8)); // a key is letters and digits
    if (dialog.open) dialog.close();
    if (hash.startsWith("#browse")) {
      const wanted = new URLSearchParams(hash.split("?")[1] || "");
      for (const field of fields) form.elements[field].value = wanted.get(field) || "";
      await show(true);
      document.getElementById("browse").scrollIntoView();
    }
  }

  let typing = 0;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", (event) => {
    clearTimeout(typing);
    typing = setTimeout(() => { address(filterAddress()); show(true); }, event.target.name === "q" ? 200 : 0);
  });
  document.getElementById("clear").addEventListener("click", () => { form.reset(); address("#browse"); show(true); });
  document.getElementById("close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => {
    if (opened) address(filterAddress());
    opened = null;
  });
  more.addEventListener("click", () => show(false));
  addEventListener("hashchange", follow);

  return fill().then(() => show(true)).then(follow).then(() => { document.documentElement.dataset.browser = "ready"; });
}
