"use strict";
/* Small plots: spectra, posteriors, histograms. */
skyloom.plots = (() => {
  const style = (name) => skyloom.colours.style(name);

  /* A canvas of so many CSS pixels, sharp on any screen, and its pen. */
  function sheet(width, height, label) {
    const sharp = Math.min(window.devicePixelRatio || 1, 2);
    const canvas = skyloom.el("canvas", { width: width * sharp, height: height * sharp, role: "img", "aria-label": label });
    canvas.style.aspectRatio = `${width} / ${height}`;
    canvas.style.width = `min(100%, ${width}px)`;
    const pen = canvas.getContext("2d");
    pen.scale(sharp, sharp);
    pen.font = "11px system-ui, sans-serif";
    return { canvas, pen };
  }

  /* Round numbers that divide a range. */
  function ticks(low, high, about) {
    const raw = (high - low) / about;
    const power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map((v) => v * power).find((v) => v >= raw);
    const found = [];
    for (let v = Math.ceil(low / step) * step; v <= high + 1e-9 * step; v += step) found.push(Number(v.toPrecision(10)));
    return found;
  }

  function frame(pen, width, height, [left, bottom], [x0, x1], [y0, y1], labels) {
    const px = (x) => left + ((x - x0) / (x1 - x0)) * (width - left - 6);
    const py = (y) => height - bottom - ((y - y0) / (y1 - y0)) * (height - bottom - 8);
    pen.strokeStyle = style("--line");
    pen.fillStyle = style("--quiet");
    pen.lineWidth = 1;
    pen.textAlign = "center";
    pen.textBaseline = "top";
    for (const v of ticks(x0, x1, width / 80)) {
      pen.beginPath(), pen.moveTo(px(v), height - bottom), pen.lineTo(px(v), height - bottom + 4), pen.stroke();
      pen.fillText(String(v), Math.min(px(v), width - 14), height - bottom + 6);
    }
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    if (labels.y !== undefined) {
      for (const v of ticks(y0, y1, height / 50)) {
        pen.beginPath(), pen.moveTo(left - 4, py(v)), pen.lineTo(left, py(v)), pen.stroke();
        pen.fillText(String(v), left - 6, py(v));
      }
    }
    pen.beginPath(), pen.moveTo(left, 8), pen.lineTo(left, height - bottom), pen.lineTo(width - 6, height - bottom), pen.stroke();
    pen.textAlign = "center";
    pen.textBaseline = "bottom";
    pen.fillText(labels.x, (left + width) / 2, height - 1);
    if (labels.y) {
      pen.save();
      pen.translate(10, (height - bottom) / 2 + 4);
      pen.rotate(-Math.PI / 2);
      pen.textBaseline = "middle";
      pen.fillText(labels.y, 0, 0);
      pen.restore();
    }
    return { px, py };
  }

  /* Flux of the k-th spectrum of a piece, NaN where masked. */
  function unpack(piece, place, pixels) {
    const k = piece.there.slice(0, place).reduce((a, b) => a + b, 0);
    if (!piece.there[place]) return null;
    if (!piece.numbers) piece.numbers = skyloom.numbers(piece.data, Int16Array);
    const [low, high] = piece.scale[k];
    const raw = piece.numbers.subarray(k * pixels, (k + 1) * pixels);
    return { flux: Float32Array.from(raw, (v) => (v === -32768 ? NaN : low + ((v + 32767) / 65534) * (high - low))), shown: piece.shown[k] };
  }

  function curve(pen, count, x, y) {
    pen.beginPath();
    let on = false;
    for (let i = 0; i < count; i++) {
      const height = y(i);
      if (Number.isNaN(height)) on = false;
      else if (on) pen.lineTo(x(i), height);
      else pen.moveTo(x(i), height), (on = true);
    }
    pen.stroke();
  }

  function spectrum(about, { flux, shown }, z, lines) {
    const [width, height, left, bottom] = [560, 230, 52, 34];
    const end = about.start + about.step * (about.pixels - 1);
    const said = `Spectrum from ${Math.round(about.start)} to ${Math.round(end)} Angstrom` + (z > -1 ? `, lines marked at redshift ${skyloom.words(z)}` : "");
    const { canvas, pen } = sheet(width, height, said);
    const { px, py } = frame(pen, width, height, [left, bottom], [about.start, end], shown, { x: "observed wavelength [Å]", y: "flux [1e-17 erg/s/cm²/Å]" });
    pen.save();
    pen.beginPath(), pen.rect(left, 0, width - left - 6, height - bottom), pen.clip();
    pen.textAlign = "center";
    pen.textBaseline = "top";
    let level = 0;
    for (const [name, rest] of z > -1 ? lines : []) {
      const place = px(rest * (1 + z));
      if (place < left + 4 || place > width - 10) continue;
      pen.strokeStyle = style("--near");
      pen.setLineDash([2, 3]);
      pen.beginPath(), pen.moveTo(place, 22), pen.lineTo(place, height - bottom), pen.stroke();
      pen.setLineDash([]);
      pen.fillStyle = style("--near");
      pen.fillText(name, place, 11 * (level++ % 2));
    }
    pen.strokeStyle = style("--ink");
    pen.lineWidth = 1;
    curve(pen, about.pixels, (i) => px(about.start + i * about.step), (i) => py(flux[i]));
    pen.restore();
    return canvas;
  }

  function sketch(about, { flux, shown }) {
    const { canvas, pen } = sheet(48, 22, "");
    canvas.setAttribute("aria-hidden", "true");
    pen.strokeStyle = style("--ink");
    pen.lineWidth = 0.8;
    const step = Math.ceil(about.pixels / 150);
    const mean = (i) => {
      let [sum, n] = [0, 0];
      for (let j = i * step; j < Math.min((i + 1) * step, about.pixels); j++) if (flux[j] === flux[j]) (sum += flux[j]), n++;
      return 21 - (20 * (sum / n - shown[0])) / (shown[1] - shown[0]);
    };
    curve(pen, Math.floor(about.pixels / step), (i) => (48 * i * step) / about.pixels, mean);
    return canvas;
  }

  function posterior(about, found, z) {
    const [width, height, bottom] = [256, 110, 32];
    const one = (heights, x0, x1, place, label) => {
      const { canvas, pen } = sheet(width, height, `${label}, highest at ${skyloom.words(found.peak)}`);
      const { px, py } = frame(pen, width, height, [8, bottom], [x0, x1], [0, 1050], { x: label });
      pen.strokeStyle = style("--accent");
      pen.lineWidth = 1.5;
      curve(pen, heights.length, (i) => px(place(i)), (i) => py(heights[i]));
      if (z >= x0 && z <= x1) {
        pen.strokeStyle = style("--near");
        pen.setLineDash([2, 3]);
        pen.beginPath(), pen.moveTo(px(z), 8), pen.lineTo(px(z), height - bottom), pen.stroke();
      }
      return canvas;
    };
    const [low, high] = [Math.log1p(about.from), Math.log1p(about.to)];
    const count = found.p.length;
    return [
      one(found.p, Math.max(0, about.from), about.to, (i) => Math.expm1(low + ((i + 0.5) / count) * (high - low)), "p(z) in bins of ln(1+z)"),
      one(found.close, found.from, found.to, (i) => found.from + (i / (found.close.length - 1)) * (found.to - found.from), "p(z) around its peak"),
    ];
  }

  function histogram(values, [low, high], bins) {
    const counts = new Float64Array(bins);
    for (let i = 0; i < values.length; i++) {
      const bin = Math.floor(((values[i] - low) / (high - low)) * bins);
      if (bin >= 0 && bin < bins) counts[bin]++;
      else if (values[i] === high) counts[bins - 1]++;
    }
    const { canvas, pen } = sheet(236, 38, "");
    canvas.setAttribute("aria-hidden", "true");
    const most = Math.max(...counts, 1);
    pen.fillStyle = style("--unknown");
    counts.forEach((n, i) => pen.fillRect((236 * i) / bins, 38 - (36 * n) / most, 236 / bins - 1, 36 * (n / most) + 2));
    return canvas;
  }

  return { unpack, spectrum, sketch, posterior, histogram };
})();
