"use strict";
/* The page: what is chosen, and what follows. */
(async () => {
  const { el, words, load, array, colours, find } = skyloom;
  const get = (id) => document.getElementById(id);
  const say = (text) => (get("status").textContent = text);
  const MANY = 50000; // galaxies beyond which a table has only the columns in use
  const LISTED = 50; // galaxies of a selection that are listed
  const MOST = 64 * 2 ** 20; // bytes of a file

  let manifest;
  try {
    manifest = await load("manifest");
  } catch (error) {
    return say(`This page has no data beside it: ${error.message}`);
  }
  const count = manifest.galaxies;
  const columns = manifest.columns;
  const values = new Map();
  const state = { map: 0, colour: null, bounds: [0, 1], shown: null };
  const plane = new skyloom.Plane(get("points"));
  const limits = skyloom.limits(columns, values, select);
  let ids = null;

  async function valuesOf(name) {
    const at = columns.findIndex((column) => column.name === name);
    if (at >= 0 && !values.has(name)) values.set(name, await array(`column-${at}`, columns[at].classes ? Uint8Array : Float32Array));
    return values.get(name);
  }

  const identifiers = async () => (ids = ids || (await array("targetid", BigInt64Array)));

  const choose = async (row, link = true) => {
    pointer.mark({ chosen: row, near: [] });
    const shown = pointer.show(row);
    try {
      const chosen = await galaxy.show(row);
      const z = galaxy.value(chosen, "z");
      say(`Galaxy ${chosen.id}${z === null ? "" : `, redshift ${words(z, 4)}`}${shown ? "" : "; it has no place on this map"}`);
    } catch (error) {
      say(error.message);
    }
    if (link) remember();
  };
  choose.near = (rows) => pointer.mark({ near: rows });
  const galaxy = skyloom.galaxy(manifest, get("galaxy"), choose);

  const pointer = skyloom.pointer(plane, get("marks"), {
    choose,
    moved: () => later(remember),
    hover,
    step,
    lasso: (line) => limits.lasso(line),
  });

  let timer = 0;
  function later(what) {
    clearTimeout(timer);
    timer = setTimeout(what, 300);
  }

  let hovered = -1;
  async function hover(row, event) {
    const tip = get("hover");
    hovered = row;
    if (row < 0) return void (tip.hidden = true);
    const column = columns.find((c) => c.name === state.colour);
    const found = column && values.get(column.name);
    tip.textContent = column ? `${column.label}: ${column.classes ? column.classes[found[row]] : words(found[row], 4)}` : `row ${row}`;
    tip.style.transform = `translate(${event.offsetX + 14}px, ${event.offsetY + 10}px)`;
    tip.hidden = false;
  }

  /* The next galaxy of the selection, or the one before. */
  function step(by) {
    let row = galaxy.current.row ?? (by > 0 ? -1 : count);
    do row += by;
    while (row >= 0 && row < count && ((state.shown && !state.shown[row]) || !plane.where(row)));
    if (row >= 0 && row < count) choose(row);
  }

  function paint() {
    const column = columns.find((c) => c.name === state.colour);
    const found = column && values.get(column.name);
    if (found && !column.classes) state.bounds = colours.bounds(found);
    plane.paint(found ? colours.codes(column, found, state.bounds) : null, state.shown, colours.palette(column));
    get("legend").replaceChildren(...(column ? [colours.legend(column, state.bounds)] : []));
  }

  function select(rebuild) {
    state.shown = limits.shown(count, (row) => plane.where(row));
    pointer.mark({ lasso: limits.drawn() });
    if (rebuild) get("limits").replaceChildren(...limits.controls());
    paint();
    const chosen = state.shown ? state.shown.reduce((a, b) => a + b, 0) : count;
    get("count").textContent = `${chosen.toLocaleString("en")} of ${count.toLocaleString("en")} galaxies`;
    if (get("members").open) members();
    later(remember);
  }

  async function members() {
    const known = await identifiers();
    const list = get("members").querySelector("ol");
    list.replaceChildren();
    for (let row = 0; row < count && list.childElementCount < LISTED; row++) {
      if (!state.shown || state.shown[row]) list.append(el("li", {}, el("button", { type: "button", onclick: () => choose(row) }, String(known[row]))));
    }
  }

  async function useMap(index) {
    state.map = index;
    const about = manifest.maps[index];
    get("map-choice").value = index;
    get("map-how").textContent = `${about.how}; ${about.galaxies.toLocaleString("en")} galaxies`;
    plane.place(await array(`map-${index}`, Uint16Array));
    get("marks").setAttribute("aria-label", `Map ${about.name} of ${about.galaxies} galaxies`);
    if (limits.drawn()) limits.lasso(null); // was drawn on another plane
    select(false);
  }

  async function useColour(name) {
    await valuesOf(name);
    state.colour = values.has(name) ? name : null;
    get("colour-choice").value = state.colour ?? "";
    paint();
    remember();
  }

  function remember() {
    const { x, y, zoom } = plane.view;
    const row = galaxy.current.row;
    const lasso = limits.drawn();
    find.writeLink({
      map: manifest.maps[state.map].name,
      colour: state.colour,
      galaxy: row !== null && ids ? ids[row] : null,
      model: galaxy.current.model,
      view: [x, y, zoom].map((v) => Number(v.toPrecision(6))).join(),
      limit: limits.text(),
      lasso: lasso && lasso.map((p) => p.map((v) => v.toFixed(4)).join("_")).join("~"),
    });
  }

  async function search(text) {
    const asked = find.parse(text);
    if (!asked) return say("A TARGETID is a whole number; a place is two numbers in degrees, or 10:00:24 +02:12:00");
    if (asked.id !== undefined) {
      const row = find.byId(await identifiers(), asked.id);
      return row < 0 ? say(`No galaxy ${asked.id} in this survey`) : choose(row);
    }
    const [ra, dec] = [await valuesOf("ra"), await valuesOf("dec")];
    if (!ra || !dec) return say("This survey has no positions");
    const { row, arcsec } = find.byPlace(ra, dec, asked);
    if (row < 0) return say("This survey has no positions");
    await choose(row);
    say(`${get("status").textContent}; ${arcsec < 120 ? `${words(arcsec, 3)} arcsec` : `${words(arcsec / 3600, 3)} degrees`} from there`);
  }

  async function save() {
    const all = count <= MANY ? columns.map((c) => c.name) : [...new Set(["ra", "dec", "z", state.colour, ...limits.names()])].filter((name) => columns.some((c) => c.name === name));
    const found = [];
    for (const name of all) found.push({ ...columns.find((c) => c.name === name), values: await valuesOf(name) });
    find.save(`${manifest.survey}-selection.csv`, find.csv(await identifiers(), found, state.shown));
    say("Saved as CSV");
  }

  const NO_SERVER = `A page without a server cannot read files: run  python -m skyloom.explore results/${manifest.survey}`;

  async function like(file) {
    if (!manifest.live) return say(NO_SERVER);
    if (file.size > MOST) return say(`${file.name} has ${Math.round(file.size / 2 ** 20)} MiB; at most ${MOST / 2 ** 20}`);
    say(`Looking at ${file.name} …`);
    try {
      const answer = await skyloom.ask(`api/like?name=${encodeURIComponent(file.name.slice(-100))}&k=${manifest.neighbours}&model=${encodeURIComponent(galaxy.current.model)}`, { method: "POST", body: file, headers: { "Content-Type": "application/octet-stream" } });
      await galaxy.showFile(answer);
      pointer.mark({ chosen: null });
      say(`The like of ${file.name}`);
    } catch (error) {
      say(error.message);
    }
  }

  function options(select, names, groups) {
    const made = new Map();
    names.forEach(([value, label], i) => {
      const group = groups && groups[i];
      if (group && !made.has(group)) made.set(group, select.appendChild(el("optgroup", { label: group })));
      (group ? made.get(group) : select).append(el("option", { value }, label));
    });
  }

  function wire() {
    get("survey").textContent = manifest.survey + (manifest.simulated ? " (simulated)" : "");
    document.title = `${manifest.survey}: Skyloom`;
    const named = columns.map((c) => [c.name, c.unit ? `${c.label} [${c.unit}]` : c.label]);
    const groups = columns.map((c) => c.group);
    options(get("map-choice"), manifest.maps.map((map, i) => [i, map.name]));
    options(get("colour-choice"), [["", "none"], ...named], [null, ...groups]);
    options(get("limit-choice"), named, groups);
    if (columns.some((c) => c.name === "z")) get("limit-choice").value = "z";
    get("map-choice").addEventListener("change", (e) => useMap(Number(e.target.value)));
    get("colour-choice").addEventListener("change", (e) => useColour(e.target.value));
    get("limit-add").addEventListener("click", async () => {
      await valuesOf(get("limit-choice").value);
      limits.add(get("limit-choice").value);
      select(true);
    });
    get("clear").addEventListener("click", () => limits.clear());
    get("export").addEventListener("click", save);
    get("members").addEventListener("toggle", () => get("members").open && members());
    get("search").addEventListener("submit", (e) => (e.preventDefault(), search(get("query").value)));
    get("share").addEventListener("click", share);
    for (const [id, name] of [["tool-pan", "pan"], ["tool-lasso", "lasso"]]) {
      get(id).addEventListener("click", () => {
        pointer.use(name);
        for (const other of ["tool-pan", "tool-lasso"]) get(other).setAttribute("aria-pressed", String(other === id));
      });
    }
    get("zoom-in").addEventListener("click", () => pointer.zoom(1.5));
    get("zoom-out").addEventListener("click", () => pointer.zoom(1 / 1.5));
    get("zoom-all").addEventListener("click", pointer.all);
    get("drop-words").textContent = manifest.live ? "Drop a file with a spectrum or an image here, in any format that surveys are read from." : NO_SERVER;
    get("file").disabled = !manifest.live;
    get("file").addEventListener("change", (e) => e.target.files[0] && like(e.target.files[0]));
    addEventListener("dragover", (e) => e.preventDefault());
    addEventListener("drop", (e) => {
      e.preventDefault();
      const [file] = e.dataTransfer.files;
      if (file) like(file);
    });
    new ResizeObserver(() => plane.resize()).observe(get("plane"));
    colours.dark.addEventListener("change", () => (select(true), galaxy.current.row !== null && galaxy.show(galaxy.current.row)));
    addEventListener("hashchange", () => location.reload());
  }

  async function share() {
    await identifiers();
    remember();
    try {
      await navigator.clipboard.writeText(location.href);
      say("The link is copied");
    } catch {
      say("The link is in the address line");
    }
  }

  async function anomalies() {
    const found = await load("anomalies");
    const list = get("anomalies").querySelector("ol");
    get("anomalies").hidden = !found.length;
    list.replaceChildren(...found.map((one) => el("li", { value: one.place }, el("button", { type: "button", onclick: () => choose(one.row) }, one.cause.replaceAll("_", " ")))));
  }

  async function start() {
    wire();
    const link = find.readLink();
    const map = Math.max(0, manifest.maps.findIndex((m) => m.name === link.get("map")));
    if (manifest.pairings.some((p) => p.model === link.get("model"))) galaxy.current.model = link.get("model");
    for (const limit of link.getAll("limit").map(limits.parse).filter(Boolean)) {
      await valuesOf(limit[0]);
      limits.add(...limit);
    }
    plane.resize();
    const [x, y, zoom] = (link.get("view") || "").split(",").map(Number);
    const seen = [x, y, zoom].every(Number.isFinite) && zoom > 0;
    if (manifest.maps.length) await useMap(map);
    if (seen) plane.view = { x, y, zoom };
    const lasso = (link.get("lasso") || "").split("~").map((p) => p.split("_").map(Number)).filter((p) => p.length === 2 && p.every(Number.isFinite));
    if (lasso.length > 2) limits.lasso(lasso);
    select(true);
    const wanted = link.get("colour") ?? (columns.some((c) => c.name === "z") ? "z" : "");
    await useColour(wanted);
    await anomalies();
    if (/^-?\d{1,20}$/.test(link.get("galaxy") || "")) {
      const row = find.byId(await identifiers(), BigInt(link.get("galaxy")));
      if (row >= 0) await choose(row, false);
      if (seen) pointer.look({ x, y, zoom }); // as it was seen, the galaxy in view or not
    }
    document.body.dataset.ready = "yes";
    identifiers().then(remember);
  }

  skyloom.plane = plane;
  try {
    await start();
  } catch (error) {
    say(error.message);
  }
})();
