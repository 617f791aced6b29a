"use strict";
/* Which galaxies count: ranges of columns, classes of columns, a line drawn around them on the map. */
skyloom.limits = (columns, values, changed) => {
  const { el, words } = skyloom;
  const set = new Map(); // name -> {low, high} or {kept: Set of codes}
  let lasso = null;

  /* 1 for each galaxy that passes all; null when nothing limits. */
  function shown(count, where) {
    if (!set.size && !lasso) return null;
    const passes = new Uint8Array(count).fill(1);
    for (const [name, limit] of set) {
      const found = values.get(name);
      for (let i = 0; i < count; i++) {
        if (limit.kept ? !limit.kept.has(found[i]) : !(found[i] >= limit.low && found[i] <= limit.high)) passes[i] = 0;
      }
    }
    if (lasso) {
      const [left, right] = [Math.min(...lasso.map((p) => p[0])), Math.max(...lasso.map((p) => p[0]))];
      const [top, bottom] = [Math.min(...lasso.map((p) => p[1])), Math.max(...lasso.map((p) => p[1]))];
      for (let i = 0; i < count; i++) {
        if (!passes[i]) continue;
        const place = where(i);
        if (!place || place[0] < left || place[0] > right || place[1] < top || place[1] > bottom || !inside(lasso, place)) passes[i] = 0;
      }
    }
    return passes;
  }

  function inside(line, [x, y]) {
    let within = false;
    for (let i = 0, j = line.length - 1; i < line.length; j = i++) {
      const [[ax, ay], [bx, by]] = [line[i], line[j]];
      if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) within = !within;
    }
    return within;
  }

  /* The controls of all limits. */
  function controls() {
    return [...set].map(([name, limit]) => {
      const column = columns.find((c) => c.name === name);
      const remove = el("button", { type: "button", "aria-label": `No limit of ${column.label}`, onclick: () => (set.delete(name), changed(true)) }, "×");
      const title = el("div", { class: "row" }, el("strong", {}, column.label), remove);
      return el("fieldset", {}, el("legend", { class: "hidden" }, `Limits of ${column.label}`), title, ...(limit.kept ? boxes(column, limit) : sliders(column, limit)));
    });
  }

  function boxes(column, limit) {
    return column.classes.map((name, code) => {
      const box = el("input", { type: "checkbox", checked: limit.kept.has(code) });
      box.addEventListener("change", () => (box.checked ? limit.kept.add(code) : limit.kept.delete(code), changed(false)));
      return el("label", { class: "box" }, box, name);
    });
  }

  function sliders(column, limit) {
    const found = values.get(column.name);
    const usual = skyloom.colours.bounds(found);
    const said = el("output", {}, `${words(limit.low, 4)} to ${words(limit.high, 4)} ${column.unit}`);
    const toValue = (share) => (share <= 0 ? column.range[0] : share >= 1000 ? column.range[1] : usual[0] + (share / 1000) * (usual[1] - usual[0]));
    const toShare = (value) => Math.round(Math.max(0, Math.min(1000, (1000 * (value - usual[0])) / (usual[1] - usual[0]))));
    const one = (key, label) => {
      const slider = el("input", { type: "range", min: 0, max: 1000, "aria-label": `${label} ${column.label}` });
      slider.value = toShare(limit[key]);
      slider.setAttribute("aria-valuetext", words(limit[key], 4));
      slider.addEventListener("input", () => {
        limit[key] = toValue(Number(slider.value));
        slider.setAttribute("aria-valuetext", words(limit[key], 4));
        said.textContent = `${words(limit.low, 4)} to ${words(limit.high, 4)} ${column.unit}`;
        changed(false);
      });
      return slider;
    };
    return [skyloom.plots.histogram(found, usual, 48), one("low", "From"), one("high", "To"), said];
  }

  return {
    shown, controls,
    lasso: (line) => ((lasso = line), changed(false)),
    drawn: () => lasso,
    clear: () => (set.clear(), (lasso = null), changed(true)),
    add(name, low, high) {
      const column = columns.find((c) => c.name === name);
      if (!column) return;
      if (column.classes) set.set(name, { kept: new Set(low === undefined ? column.classes.keys() : low) });
      else set.set(name, { low: low ?? column.range[0], high: high ?? column.range[1] });
    },
    names: () => [...set.keys()],
    /* For a link: name:low:high, or name:= and codes separated by points. */
    text: () => [...set].map(([name, l]) => (l.kept ? `${name}:=${[...l.kept].join(".")}` : `${name}:${l.low}:${l.high}`)),
    /* The column that such a text limits, and how; null for any other text. */
    parse(text) {
      const found = /^(.+):=([\d.]*)$/.exec(text) || /^(.+):([^:]+):([^:]+)$/.exec(text);
      if (!found) return null;
      const column = columns.find((c) => c.name === found[1]);
      const ends = found[3] === undefined ? [found[2].split(".").filter(Boolean).map(Number)] : found.slice(2).map(Number);
      const fits = column && ends.flat().every(Number.isFinite) && Boolean(column.classes) === (found[3] === undefined);
      return fits ? [column.name, ...ends] : null;
    },
  };
};
