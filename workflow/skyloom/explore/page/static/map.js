"use strict";
/* The plane of points, drawn into an array of pixels: a million move smoothly without a graphics card, and no code is
   made while it runs, which a strict content policy forbids (WebGL libraries that do were tried, see tests/bench/LOG.md).

   Points lie in the square 0 to 1, in the order of a grid of cells, so that those outside the view cost nothing. */
skyloom.Plane = class {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { alpha: false });
    this.view = { x: 0.5, y: 0.5, zoom: 1 };
    this.box = [0, 1, 0, 1];
    this.count = 0;
    this.start = new Int32Array(2);
    this.cells = 1;
    this.asked = false;
    this.ondraw = () => {};
  }

  /* packed: (2, N) uint16, 65535 for a galaxy that has no place. */
  place(packed) {
    const all = packed.length / 2;
    const cells = (this.cells = Math.max(1, Math.min(256, Math.round(Math.sqrt(all / 24)))));
    const cell = new Int32Array(all);
    const start = (this.start = new Int32Array(cells * cells + 1));
    for (let i = 0; i < all; i++) {
      if (packed[i] === 65535) {
        cell[i] = -1;
        continue;
      }
      const column = Math.min(cells - 1, (packed[i] * cells / 65535) | 0);
      const line = Math.min(cells - 1, ((65534 - packed[all + i]) * cells / 65535) | 0);
      cell[i] = line * cells + column;
      start[cell[i] + 1]++;
    }
    for (let c = 0; c < cells * cells; c++) start[c + 1] += start[c];
    const next = start.slice();
    this.count = start[cells * cells];
    this.x = new Float32Array(this.count);
    this.y = new Float32Array(this.count);
    this.row = new Int32Array(this.count);
    this.at = new Int32Array(all).fill(-1);
    for (let i = 0; i < all; i++) {
      if (cell[i] < 0) continue;
      const place = next[cell[i]]++;
      this.x[place] = packed[i] / 65534;
      this.y[place] = 1 - packed[all + i] / 65534;
      this.row[place] = i;
      this.at[i] = place;
    }
    this.code = new Uint8Array(this.count);
    let [left, right, top, bottom] = [1, 0, 1, 0];
    for (let i = 0; i < this.count; i++) {
      const x = this.x[i], y = this.y[i];
      if (x < left) left = x;
      if (x > right) right = x;
      if (y < top) top = y;
      if (y > bottom) bottom = y;
    }
    this.box = [left, right, top, bottom];
    this.home();
  }

  /* All points in view. */
  home() {
    const [left, right, top, bottom] = this.count ? this.box : [0, 1, 0, 1];
    const { width, height } = this.canvas;
    const zoom = Math.min(width / Math.max(right - left, 1e-3), height / Math.max(bottom - top, 1e-3)) / Math.min(width, height);
    this.view = { x: (left + right) / 2, y: (top + bottom) / 2, zoom };
    this.draw();
  }

  /* codes: of each galaxy; shown: 1 for those of the selection, or null for all; palette (256, 3) bytes. */
  paint(codes, shown, palette) {
    const { DIM } = skyloom.colours;
    for (let i = 0; i < this.count; i++) {
      const row = this.row[i];
      this.code[i] = shown && !shown[row] ? DIM : codes ? codes[row] : 0;
    }
    this.some = shown !== null;
    this.palette = new Uint32Array(256);
    for (let c = 0; c < 256; c++) {
      this.palette[c] = (255 << 24) | (palette[3 * c + 2] << 16) | (palette[3 * c + 1] << 8) | palette[3 * c];
    }
    const ground = skyloom.colours.style("--ground");
    const [r, g, b] = [1, 3, 5].map((at) => parseInt(ground.slice(at, at + 2), 16));
    this.ground = ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
    this.draw();
  }

  resize() {
    const box = this.canvas.getBoundingClientRect();
    this.sharp = Math.min(window.devicePixelRatio || 1, 2);
    const [width, height] = [box.width, box.height].map((v) => Math.max(1, Math.round(v * this.sharp)));
    if (this.canvas.width !== width || this.canvas.height !== height || !this.image) {
      this.canvas.width = width;
      this.canvas.height = height;
      this.image = this.context.createImageData(width, height);
      this.pixels = new Uint32Array(this.image.data.buffer);
    }
    this.draw();
  }

  /* Pixels a unit of the plane is long. */
  get scale() {
    return this.view.zoom * 0.94 * Math.min(this.canvas.width, this.canvas.height);
  }

  toScreen(x, y) {
    return [(x - this.view.x) * this.scale + this.canvas.width / 2, (y - this.view.y) * this.scale + this.canvas.height / 2];
  }

  toPlane(px, py) {
    return [(px - this.canvas.width / 2) / this.scale + this.view.x, (py - this.canvas.height / 2) / this.scale + this.view.y];
  }

  where(row) {
    const place = this.at ? this.at[row] : -1;
    return place < 0 ? null : [this.x[place], this.y[place]];
  }

  draw() {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => {
      this.asked = false;
      this.drawNow();
    });
  }

  drawNow() {
    if (!this.image || !this.palette) return;
    this.pixels.fill(this.ground);
    const [first, last, top, bottom] = this.window(0);
    let seen = 0;
    for (let line = top; line <= bottom; line++) seen += this.start[line * this.cells + last + 1] - this.start[line * this.cells + first];
    const radius = this.radius(seen);
    if (this.some) this.layer(first, last, top, bottom, radius, true);
    this.layer(first, last, top, bottom, radius, false);
    this.context.putImageData(this.image, 0, 0);
    this.ondraw();
  }

  radius(seen) {
    const area = this.canvas.width * this.canvas.height;
    return Math.max(0.5, Math.min(4.5, 0.17 * Math.sqrt(area / Math.max(seen, 1)))) * this.sharp;
  }

  /* Cells in view, and `margin` pixels around it. */
  window(margin) {
    const [left, top] = this.toPlane(-margin, -margin);
    const [right, bottom] = this.toPlane(this.canvas.width + margin, this.canvas.height + margin);
    const cell = (v) => Math.max(0, Math.min(this.cells - 1, Math.floor(v * this.cells)));
    return [cell(left), cell(right), cell(top), cell(bottom)];
  }

  layer(first, last, top, bottom, radius, dim) {
    const { DIM } = skyloom.colours;
    const { x, y, code, palette, pixels } = this;
    const [width, height, scale] = [this.canvas.width, this.canvas.height, this.scale];
    const [left, up] = [width / 2 - this.view.x * scale, height / 2 - this.view.y * scale];
    const block = radius < 1.3 ? Math.max(1, Math.round(radius * 1.3)) : 0;
    const stamp = block ? null : skyloom.stamp(radius);
    for (let line = top; line <= bottom; line++) {
      const end = this.start[line * this.cells + last + 1];
      for (let i = this.start[line * this.cells + first]; i < end; i++) {
        if ((code[i] === DIM) !== dim) continue;
        const px = (x[i] * scale + left) | 0;
        const py = (y[i] * scale + up) | 0;
        const colour = palette[code[i]];
        if (block) {
          if (px < 0 || py < 0 || px > width - block || py > height - block) continue;
          const at = py * width + px;
          pixels[at] = colour;
          if (block > 1) pixels[at + 1] = pixels[at + width] = pixels[at + width + 1] = colour;
        } else {
          skyloom.press(pixels, width, height, px, py, colour, stamp);
        }
      }
    }
  }

  /* The row of the galaxy nearest to a pixel, within `reach` pixels; -1 if there is none. */
  nearest(px, py, reach) {
    const [first, last] = this.window(reach);
    const [ax, ay] = this.toPlane(px, py);
    const limit = reach / this.scale;
    const cell = (v) => Math.max(0, Math.min(this.cells - 1, Math.floor(v * this.cells)));
    let [best, found] = [limit * limit, -1];
    for (let line = cell(ay - limit); line <= cell(ay + limit); line++) {
      const from = this.start[line * this.cells + Math.max(first, cell(ax - limit))];
      const to = this.start[line * this.cells + Math.min(last, cell(ax + limit)) + 1];
      for (let i = from; i < to; i++) {
        if (this.some && this.code[i] === skyloom.colours.DIM) continue;
        const distance = (this.x[i] - ax) ** 2 + (this.y[i] - ay) ** 2;
        if (distance < best) [best, found] = [distance, this.row[i]];
      }
    }
    return found;
  }
};

/* A disc: offsets of its pixels, and how much of each it covers, in 256ths. */
skyloom.stamp = (radius) => {
  const stamp = { dx: [], dy: [], cover: [], reach: Math.ceil(radius) };
  for (let dy = -stamp.reach; dy <= stamp.reach; dy++) {
    for (let dx = -stamp.reach; dx <= stamp.reach; dx++) {
      const cover = Math.round(230 * Math.min(1, Math.max(0, radius + 0.5 - Math.hypot(dx, dy))));
      if (cover > 8) stamp.dx.push(dx), stamp.dy.push(dy), stamp.cover.push(cover);
    }
  }
  return stamp;
};

skyloom.press = (pixels, width, height, px, py, colour, { dx, dy, cover, reach }) => {
  if (px < -reach || py < -reach || px >= width + reach || py >= height + reach) return;
  const [r, g, b] = [colour & 255, (colour >> 8) & 255, (colour >> 16) & 255];
  for (let k = 0; k < dx.length; k++) {
    const x = px + dx[k], y = py + dy[k];
    if (x < 0 || y < 0 || x >= width || y >= height) continue;
    const at = y * width + x, under = pixels[at], a = cover[k];
    const red = (under & 255) + (((r - (under & 255)) * a) >> 8);
    const green = ((under >> 8) & 255) + (((g - ((under >> 8) & 255)) * a) >> 8);
    const blue = ((under >> 16) & 255) + (((b - ((under >> 16) & 255)) * a) >> 8);
    pixels[at] = (255 << 24) | (blue << 16) | (green << 8) | red;
  }
};
