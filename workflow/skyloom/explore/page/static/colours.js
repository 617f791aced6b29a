"use strict";
/* Colours that survive colour blindness: viridis for numbers, Okabe and Ito's for classes. Codes 0 to 249 are colours. */
skyloom.colours = (() => {
  const VIRIDIS = ["#440154", "#48186a", "#472d7b", "#424086", "#3b528b", "#33638d", "#2c728e", "#26828e", "#21918c",
    "#1fa088", "#28ae80", "#3fbc73", "#5ec962", "#84d44b", "#addc30", "#d8e219", "#fde725"];
  const CLASSES = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#7b2d8b", "#b8a300", "#8c564b",
    "#17a2b8", "#6f6f6f", "#a6a6a6"];
  const STEPS = 249, UNKNOWN = 250, DIM = 251, HIDDEN = 255;
  const dark = matchMedia("(prefers-color-scheme: dark)");

  const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));

  /* The part of viridis that stands out from the page. */
  function continuous(share) {
    const [low, high] = dark.matches ? [0.14, 1] : [0, 0.93];
    const place = (low + share * (high - low)) * (VIRIDIS.length - 1);
    const first = Math.min(Math.floor(place), VIRIDIS.length - 2);
    const [a, b] = [rgb(VIRIDIS[first]), rgb(VIRIDIS[first + 1])];
    return a.map((v, i) => Math.round(v + (place - first) * (b[i] - v)));
  }

  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  /* (256, 3) bytes: the colour of each code. */
  function palette(column) {
    const table = new Uint8Array(256 * 3);
    for (let code = 0; code <= STEPS; code++) {
      const colour = column && column.classes ? rgb(CLASSES[code % CLASSES.length]) : continuous(code / STEPS);
      table.set(column ? colour : rgb(style("--point")), 3 * code);
    }
    table.set(rgb(style("--unknown")), 3 * UNKNOWN);
    table.set(rgb(style("--dim")), 3 * DIM);
    return table;
  }

  /* The 1st and 99th hundredth of a column's values, that a few outliers do not flatten the rest. */
  function bounds(values) {
    const step = Math.max(1, Math.floor(values.length / 20000));
    const some = [];
    for (let i = 0; i < values.length; i += step) if (Number.isFinite(values[i])) some.push(values[i]);
    some.sort((a, b) => a - b);
    if (!some.length) return [0, 1];
    const [low, high] = [some[Math.floor(0.01 * (some.length - 1))], some[Math.ceil(0.99 * (some.length - 1))]];
    return low < high ? [low, high] : [some[0], some[some.length - 1] + (some[0] === some[some.length - 1])];
  }

  /* The code of each galaxy. */
  function codes(column, values, [low, high]) {
    if (column.classes) return values;
    const found = new Uint8Array(values.length);
    const scale = STEPS / (high - low);
    for (let i = 0; i < values.length; i++) {
      const value = values[i];
      found[i] = value === value ? Math.min(STEPS, Math.max(0, (value - low) * scale)) : UNKNOWN;
    }
    return found;
  }

  function legend(column, [low, high]) {
    const { el, words } = skyloom;
    if (column.classes) {
      return el("ul", { class: "classes" }, ...column.classes.map((name, code) => {
        const mark = el("span", { class: "mark" });
        mark.style.background = CLASSES[code % CLASSES.length];
        return el("li", {}, mark, name);
      }));
    }
    const stops = Array.from({ length: 11 }, (_, i) => `rgb(${continuous(i / 10).join()})`);
    const bar = el("div", { class: "bar", role: "img", "aria-label": `from ${words(low, 3)} to ${words(high, 3)}` });
    bar.style.background = `linear-gradient(to right, ${stops.join()})`;
    const unit = column.unit ? ` ${column.unit}` : "";
    return el("div", {}, bar, el("div", { class: "ends" }, el("span", {}, words(low, 3)), el("span", {}, words(high, 3) + unit)));
  }

  return { palette, bounds, codes, legend, continuous, style, dark, UNKNOWN, DIM, HIDDEN };
})();
