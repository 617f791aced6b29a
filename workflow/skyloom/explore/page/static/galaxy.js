"use strict";
/* One galaxy: image, spectrum, posterior, numbers, and the galaxies that are like it. */
skyloom.galaxy = (manifest, panel, choose) => {
  const { el, words, load, picture } = skyloom;
  const index = (name) => manifest.columns.findIndex((column) => column.name === name);
  const at = (row) => [Math.floor(row / manifest.chunk), row % manifest.chunk];
  const number = (value) => (Array.isArray(value) ? value[0] : value);
  const FIRST = ["z", "mag_r", "log_mstar", "log_ssfr", "t_age", "log_z_mw"];

  async function details(row) {
    const [chunk, place] = at(row);
    return (await load(`details-${chunk}`))[place];
  }

  const value = (galaxy, name) => (index(name) < 0 ? null : number(galaxy.values[index(name)]));

  async function thumbnail(kind, row, size, label) {
    const [chunk, place] = at(row);
    const { side, across } = manifest.images[kind];
    const sheet = await picture(`image-${kind}-${chunk}`);
    const canvas = el("canvas", { width: side, height: side, ...(label ? { role: "img", "aria-label": label } : { "aria-hidden": "true" }) });
    canvas.style.width = `${size}px`;
    canvas.getContext("2d").drawImage(sheet, (place % across) * side, Math.floor(place / across) * side, side, side, 0, 0, side, side);
    return canvas;
  }

  async function spectrum(kind, row) {
    const [chunk, place] = at(row);
    return skyloom.plots.unpack(await load(`spectrum-${kind}-${chunk}`), place, manifest.spectra[kind].pixels);
  }

  function position(galaxy) {
    const [ra, dec] = [value(galaxy, "ra"), value(galaxy, "dec")];
    return ra === null || dec === null ? "no position" : `RA ${ra.toFixed(5)}°, Dec ${dec.toFixed(5)}°`;
  }

  /* Numbers in groups: the catalogue, then what each model says, with its interval. */
  function tables(galaxy) {
    const groups = new Map();
    manifest.columns.forEach((column, i) => {
      const found = galaxy.values[i];
      if (number(found) === null) return;
      const said = Array.isArray(found) ? `${words(found[0])}  [${words(found[1], 4)}, ${words(found[2], 4)}]` : words(found, column.name === "ra" || column.name === "dec" ? 9 : 5);
      const row = el("tr", {}, el("th", { scope: "row", title: column.about }, column.label), el("td", {}, said), el("td", { class: "quiet" }, column.unit));
      if (!groups.has(column.group)) groups.set(column.group, []);
      groups.get(column.group).push(row);
    });
    return [...groups].map(([name, rows]) => el("details", {}, el("summary", {}, name === "catalogue" ? "Catalogue" : `Said by ${name}`), el("table", {}, el("tbody", {}, ...rows))));
  }

  function summary(galaxy) {
    const list = el("dl", { class: "summary" });
    for (const name of FIRST) {
      const found = value(galaxy, name);
      if (found !== null) list.append(el("div", {}, el("dt", {}, manifest.columns[index(name)].label), el("dd", {}, words(found, 4))));
    }
    return list;
  }

  const models = [...new Set(manifest.pairings.map((pairing) => pairing.model))];
  const current = { row: null, turn: 0, model: models[0] };

  /* Show a galaxy; what takes time comes when it is there, unless another one was chosen meanwhile. */
  async function show(row) {
    const turn = ++current.turn;
    current.row = row;
    const galaxy = await details(row);
    if (turn !== current.turn) return galaxy;
    const z = value(galaxy, "z");
    const images = el("div", { class: "images" }), spectra = el("div"), posteriors = el("div"), like = el("div", { class: "like" });
    panel.replaceChildren(el("h2", { id: "galaxy-name" }, galaxy.id), el("p", { class: "quiet" }, position(galaxy)), el("div", { class: "opening" }, images, summary(galaxy)), spectra, like, posteriors, ...tables(galaxy));
    const fill = async (into, make) => {
      try {
        const made = (await make()).filter(Boolean);
        if (turn === current.turn) into.append(...made);
      } catch (error) {
        if (turn === current.turn) into.append(el("p", { class: "trouble" }, error.message));
      }
    };
    manifest.images.forEach((image, i) => fill(images, async () => [el("figure", {}, await thumbnail(i, row, 208, `Image (${image.name}) of galaxy ${galaxy.id}`), el("figcaption", {}, image.name))]));
    manifest.spectra.forEach((about, i) => fill(spectra, async () => {
      const found = await spectrum(i, row);
      const note = about.binned > 1 ? el("p", { class: "quiet" }, `${about.name}; each pixel is the mean of ${about.binned}, lines at z = ${words(z, 5)}`) : null;
      return found ? [skyloom.plots.spectrum(about, found, z, manifest.lines), note] : [];
    }));
    manifest.posteriors.forEach((about, i) => fill(posteriors, async () => {
      const [chunk, place] = at(row);
      const found = (await load(`posterior-${i}-${chunk}`))[place];
      return found ? [el("h3", {}, `p(z) by ${about.name}${about.query && about.query !== about.name ? ` (${about.query.replaceAll("_", " ")})` : ""}, from ${about.given || "all"}`), el("div", { class: "pair" }, ...skyloom.plots.posterior(about, found, z)), el("p", { class: "quiet" }, `peak at ${words(found.peak)}; dashed: the catalogue's`)] : [];
    }));
    await alike(row, like, turn);
    return galaxy;
  }

  async function alike(row, into, turn) {
    if (!models.length) return;
    const pick = el("select", { id: "model-choice" }, ...models.map((name) => el("option", { value: name, selected: name === current.model }, name)));
    const rows = el("div");
    pick.addEventListener("change", () => {
      current.model = pick.value;
      fillAll();
    });
    into.replaceChildren(el("div", { class: "row" }, el("h3", {}, "Most alike, by"), el("label", { class: "hidden", for: "model-choice" }, "Model"), pick), rows);
    const fillAll = async () => {
      rows.replaceChildren();
      marks([]);
      for (const pairing of manifest.pairings.filter((p) => p.model === current.model)) {
        const box = el("div", {}, el("h4", {}, title(pairing)));
        rows.append(box);
        try {
          const found = await neighbours(row, pairing);
          if (turn !== current.turn) return;
          box.append(await strip(found, pairing));
          marks(found.rows);
        } catch (error) {
          box.append(el("p", { class: "trouble" }, error.message));
        }
      }
    };
    await fillAll();
  }

  const near = new Set();
  function marks(rows) {
    if (!rows.length) near.clear();
    rows.forEach((row) => near.add(row));
    choose.near([...near]);
  }

  const title = (pairing) => (manifest.pairings.some((p) => p.model === pairing.model && p !== pairing) ? `${pairing.asked} → ${pairing.found}` : pairing.asked);

  async function neighbours(row, pairing) {
    if (manifest.live) return skyloom.ask(`api/neighbours?row=${row}&pairing=${encodeURIComponent(pairing.name)}&k=${manifest.neighbours}`);
    const [chunk, place] = at(row);
    const found = (await load(`neighbours-${chunk}`))[pairing.name];
    const rows = found.rows[place], distances = found.distances[place];
    return { rows: rows.filter((r) => r >= 0), distances: distances.filter((_, i) => rows[i] >= 0) };
  }

  /* Galaxies beside each other, the nearest first. */
  async function strip(found, pairing) {
    if (!found.rows.length) return el("p", { class: "quiet" }, `no ${pairing.asked} of this galaxy`);
    const list = el("ol", { class: "strip", "aria-label": `Most alike, ${title(pairing)}` });
    const cards = await Promise.all(found.rows.map(async (row, i) => {
      const galaxy = await details(row);
      const z = value(galaxy, "z");
      const button = el("button", { type: "button", onclick: () => choose(row), title: galaxy.id, "aria-label": `Galaxy ${galaxy.id}, redshift ${words(z, 3)}, distance ${words(found.distances[i], 3)}` });
      if (manifest.images.length) button.append(await thumbnail(0, row, 48));
      if (manifest.spectra.length) {
        const flux = await spectrum(0, row);
        if (flux) button.append(skyloom.plots.sketch(manifest.spectra[0], flux));
      }
      button.append(el("span", {}, row === current.row ? "itself" : z === null ? galaxy.id.slice(-6) : `z ${z.toFixed(z < 10 ? 3 : 1)}`));
      return el("li", {}, button);
    }));
    list.append(...cards);
    return list;
  }

  /* What a file of the user's is like. */
  async function showFile(answer) {
    current.turn++;
    current.row = null;
    const rows = el("div");
    panel.replaceChildren(el("h2", {}, answer.name), el("p", { class: "quiet" }, answer.about), rows);
    for (const part of answer.answers) {
      const pairing = manifest.pairings.find((p) => p.name === part.pairing);
      rows.append(el("h3", {}, `${pairing.model}: ${title(pairing)}`), await strip(part, pairing));
    }
    choose.near(answer.answers.flatMap((part) => part.rows));
  }

  return { show, showFile, details, value, current };
};
