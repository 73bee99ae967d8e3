"use strict";
// Draws the Vega-Lite plots in the page's colours, and redraws them when the colours change.
(() => {
  const plots = JSON.parse(document.getElementById("plots").textContent);
  const palette = JSON.parse(document.getElementById("palette").textContent);
  const root = document.documentElement;
  const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();

  function config() {
    const ink = colour("--ink"), soft = colour("--soft"), line = colour("--line");
    return {
      background: "transparent",
      font: "system-ui, sans-serif",
      view: { stroke: null },
      axis: { labelColor: ink, titleColor: soft, gridColor: line, domainColor: line, tickColor: line, labelFontSize: 12 },
      axisXQuantitative: { tickCount: { signal: "max(2, ceil(width / 90))" } },
      legend: { labelColor: ink, titleColor: soft, labelLimit: 220 },
      text: { color: ink },
      range: { category: palette },
      bar: { color: palette[0] },
    };
  }

  async function draw() {
    let failed = 0;
    for (const [id, spec] of Object.entries(plots)) {
      const place = document.getElementById("vega-" + id);
      if (!place) continue;
      const full = { ...spec, autosize: { type: "fit-x", contains: "padding" } };
      try {
        await vegaEmbed(place, full, { actions: false, renderer: "svg", ast: true, config: config(), tooltip: { theme: root.dataset.theme } });
      } catch (error) {
        failed += 1;
        place.textContent = "This plot could not be drawn; the table below has the same data.";
        console.error(id, error);
      }
    }
    root.dataset.drawn = failed ? "failed" : "yes";
  }

  const dark = matchMedia("(prefers-color-scheme: dark)");
  function theme(name) {
    root.dataset.theme = name;
    root.dataset.drawn = "";
    draw();
  }
  document.getElementById("theme").addEventListener("click", () => theme(root.dataset.theme === "dark" ? "light" : "dark"));
  dark.addEventListener("change", () => theme(dark.matches ? "dark" : "light"));
  theme(dark.matches ? "dark" : "light");
})();
