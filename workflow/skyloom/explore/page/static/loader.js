"use strict";
/* Data come as scripts that hold one call, skyloom.got(name, literal): a page from a disk may load scripts, but fetch nothing. */
const skyloom = (() => {
  const MOST = 400; // pieces kept
  const kept = new Map();
  const waiting = new Map();

  function got(name, content) {
    const asked = waiting.get(name);
    if (asked) asked.resolve(content);
  }

  function load(name) {
    if (kept.has(name)) {
      const found = kept.get(name);
      kept.delete(name);
      kept.set(name, found); // last used, last to go
      return found;
    }
    const found = new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = `data/${name}.js`;
      const done = (then) => (value) => {
        waiting.delete(name);
        script.remove();
        then(value);
      };
      waiting.set(name, { resolve: done(resolve) });
      script.onerror = () => done(reject)(new Error(`data/${name}.js cannot be read`));
      document.head.append(script);
    });
    found.catch(() => kept.delete(name));
    kept.set(name, found);
    if (kept.size > MOST) kept.delete(kept.keys().next().value);
    return found;
  }

  function picture(name) {
    const key = `${name}.jpg`;
    if (!kept.has(key)) {
      const found = new Promise((resolve, reject) => {
        const image = new Image();
        image.onload = () => resolve(image);
        image.onerror = () => reject(new Error(`data/${key} cannot be read`));
        image.src = `data/${key}`;
      });
      found.catch(() => kept.delete(key));
      kept.set(key, found);
    }
    return kept.get(key);
  }

  /* Numbers of a little-endian array in base64. */
  function numbers(text, type) {
    const raw = atob(text);
    const bytes = new Uint8Array(raw.length);
    for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
    return new type(bytes.buffer);
  }

  async function array(name, type) {
    const text = await load(name);
    kept.delete(name); // the caller keeps the numbers
    return numbers(text, type);
  }

  /* An answer of the server; an error with its words where there is one. */
  async function ask(path, options) {
    let answer;
    try {
      answer = await fetch(path, { ...options, credentials: "omit", redirect: "error" });
    } catch (error) {
      throw new Error("the server of this page does not answer", { cause: error });
    }
    const said = await answer.json();
    if (!answer.ok) throw new Error(said.error || `the server answers ${answer.status}`);
    return said;
  }

  /* An element; texts become text, never markup. */
  function el(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) {
      if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
      else if (value === true) made.setAttribute(key, "");
      else if (value !== false && value !== null) made.setAttribute(key, value);
    }
    made.append(...children);
    return made;
  }

  function words(value, digits = 5) {
    if (value === null || value === undefined || Number.isNaN(value)) return "–";
    if (typeof value !== "number") return String(value);
    if (value !== 0 && (Math.abs(value) < 1e-4 || Math.abs(value) >= 1e7)) return value.toExponential(digits - 2);
    return String(Number(value.toPrecision(digits)));
  }

  return { got, load, picture, array, numbers, ask, el, words };
})();
