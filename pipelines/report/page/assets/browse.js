"use strict";
// `smolmix browse`: samples come from the server, a page at a time.
(() => {
  const ask = async (path, query = {}) => {
    const answer = await fetch(path + "?" + new URLSearchParams(query), { credentials: "omit" });
    if (!answer.ok) throw new Error((await answer.json()).error || answer.statusText);
    return answer.json();
  };
  smolmixBrowser({
    facets: () => ask("/api/facets"),
    query: (filters, page) => ask("/api/samples", { ...filters, page }),
    get: (key) => ask("/api/sample", { key }),
  }, "/media/");
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const theme = (name) => { root.dataset.theme = name; };
  document.getElementById("theme").addEventListener("click", () => theme(root.dataset.theme === "dark" ? "light" : "dark"));
  dark.addEventListener("change", () => theme(dark.matches ? "dark" : "light"));
  theme(dark.matches ? "dark" : "light");
})();
