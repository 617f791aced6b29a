"use strict";
/* Find a galaxy by its TARGETID or its place on the sky; read and write links; write CSV. */
skyloom.find = (() => {
  const NUMBER = "[+-]?\\d+(?:\\.\\d*)?";
  const DEGREES = new RegExp(`^(${NUMBER})[\\s,]+(${NUMBER})$`);
  const SIXTIES = new RegExp(`^(\\d{1,2})[\\s:h]+(\\d{1,2})[\\s:m]+(\\d+(?:\\.\\d*)?)s?[\\s,]+([+-]?)(\\d{1,2})[\\s:d]+(\\d{1,2})[\\s:m]+(\\d+(?:\\.\\d*)?)s?$`);

  /* What a text asks for: {id}, {ra, dec} in degrees, or null. */
  function parse(text) {
    const asked = text.trim();
    if (/^[+-]?\d{1,20}$/.test(asked)) return { id: BigInt(asked) };
    let found = DEGREES.exec(asked);
    if (found) return check({ ra: Number(found[1]), dec: Number(found[2]) });
    found = SIXTIES.exec(asked);
    if (!found) return null;
    const sixty = (a, b, c) => Number(a) + Number(b) / 60 + Number(c) / 3600;
    return check({ ra: 15 * sixty(...found.slice(1, 4)), dec: (found[4] === "-" ? -1 : 1) * sixty(...found.slice(5, 8)) });
  }

  const check = (place) => (Math.abs(place.ra) <= 360 && Math.abs(place.dec) <= 90 ? place : null);

  /* The row of an identifier among rising ones, -1 if it is not there. */
  function byId(ids, id) {
    let [low, high] = [0, ids.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (ids[middle] < id) low = middle + 1;
      else high = middle;
    }
    return low < ids.length && ids[low] === id ? low : -1;
  }

  /* The row nearest to a place, and how far it is in arcsec. */
  function byPlace(ra, dec, place) {
    const rad = Math.PI / 180;
    let [best, row] = [Infinity, -1];
    for (let i = 0; i < ra.length; i++) {
      const a = Math.sin(((dec[i] - place.dec) * rad) / 2) ** 2;
      const b = Math.cos(dec[i] * rad) * Math.cos(place.dec * rad) * Math.sin(((ra[i] - place.ra) * rad) / 2) ** 2;
      if (a + b < best) [best, row] = [a + b, i];
    }
    return { row, arcsec: (2 * Math.asin(Math.sqrt(Math.min(1, best)))) / rad * 3600 };
  }

  const readLink = () => new URLSearchParams(location.hash.slice(1));

  function writeLink(state) {
    const link = new URLSearchParams();
    for (const [key, value] of Object.entries(state)) {
      for (const one of Array.isArray(value) ? value : [value]) if (one !== null && one !== undefined && one !== "") link.append(key, one);
    }
    history.replaceState(null, "", `#${link}`);
  }

  /* Columns of the galaxies shown as CSV: names, then rows; texts that a table program would run are quoted. */
  function csv(ids, columns, shown) {
    const lines = [["targetid", ...columns.map((c) => quoted(c.name))].join()];
    for (let i = 0; i < ids.length; i++) {
      if (shown && !shown[i]) continue;
      lines.push([ids[i], ...columns.map((c) => (c.classes ? quoted(c.classes[c.values[i]]) : Number.isNaN(c.values[i]) ? "" : c.values[i]))].join());
    }
    return `${lines.join("\n")}\n`;
  }

  const quoted = (text) => `"${(/^[=+@\t\r-]/.test(text) ? `'${text}` : text).replaceAll('"', '""')}"`;

  function save(name, text) {
    const link = skyloom.el("a", { href: URL.createObjectURL(new Blob([text], { type: "text/csv" })), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  return { parse, byId, byPlace, readLink, writeLink, csv, save };
})();
