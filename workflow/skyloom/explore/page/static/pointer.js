"use strict";
/* What hands do on the map: drag, wheel, pinch, lasso, keys; and what lies over the points: marks, the lasso. */
skyloom.pointer = (plane, canvas, tell) => {
  const context = canvas.getContext("2d");
  const fingers = new Map();
  let tool = "pan", moved = false, lasso = null, marks = { chosen: null, near: [] };

  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left) * plane.sharp, (event.clientY - box.top) * plane.sharp];
  };

  function zoom(factor, px, py) {
    const [x, y] = plane.toPlane(px, py);
    plane.view.zoom = Math.min(20000, Math.max(0.3, plane.view.zoom * factor));
    const [nx, ny] = plane.toPlane(px, py);
    move(x - nx, y - ny);
  }

  function move(dx, dy) {
    plane.view.x = Math.min(1.5, Math.max(-0.5, plane.view.x + dx));
    plane.view.y = Math.min(1.5, Math.max(-0.5, plane.view.y + dy));
    plane.draw();
    tell.moved();
  }

  function all() {
    plane.home();
    tell.moved();
  }

  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, at(event));
    moved = false;
    if (fingers.size === 1 && (tool === "lasso" || event.shiftKey)) lasso = [plane.toPlane(...at(event))];
  });

  canvas.addEventListener("pointermove", (event) => {
    const now = at(event), before = fingers.get(event.pointerId);
    if (!before) return tell.hover(plane.nearest(...now, 10 * plane.sharp), event);
    if (Math.hypot(now[0] - before[0], now[1] - before[1]) < 3 && !moved) return;
    moved = true;
    if (lasso) {
      lasso.push(plane.toPlane(...now));
      over();
    } else if (fingers.size === 1) {
      move((before[0] - now[0]) / plane.scale, (before[1] - now[1]) / plane.scale);
    } else {
      const [other] = [...fingers].find(([id]) => id !== event.pointerId).slice(1);
      const spread = (p) => Math.hypot(p[0] - other[0], p[1] - other[1]);
      zoom(spread(now) / Math.max(spread(before), 1), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
    }
    fingers.set(event.pointerId, now);
  });

  const lifted = (event) => {
    const here = fingers.delete(event.pointerId);
    if (!here || event.type === "pointercancel") lasso = null;
    else if (lasso && moved) {
      const drawn = lasso;
      lasso = null;
      tell.lasso(drawn);
    } else if (!moved) {
      lasso = null;
      const found = plane.nearest(...at(event), 14 * plane.sharp);
      if (found >= 0) tell.choose(found);
    }
    over();
  };
  canvas.addEventListener("pointerup", lifted);
  canvas.addEventListener("pointercancel", lifted);
  canvas.addEventListener("pointerleave", () => tell.hover(-1));

  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(Math.exp(-Math.max(-60, Math.min(60, event.deltaY)) * 0.006), ...at(event));
  }, { passive: false });

  canvas.addEventListener("keydown", (event) => {
    const step = 60 * plane.sharp / plane.scale;
    const [mx, my] = [plane.canvas.width / 2, plane.canvas.height / 2];
    const keys = {
      ArrowLeft: () => move(-step, 0), ArrowRight: () => move(step, 0), ArrowUp: () => move(0, -step), ArrowDown: () => move(0, step),
      "+": () => zoom(1.4, mx, my), "=": () => zoom(1.4, mx, my), "-": () => zoom(1 / 1.4, mx, my), 0: all,
      Enter: () => {
        const found = plane.nearest(mx, my, Math.max(mx, my));
        if (found >= 0) tell.choose(found);
      },
      n: () => tell.step(1), p: () => tell.step(-1), Escape: () => tell.lasso(null),
    };
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (!keys[key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    keys[key]();
  });

  function ring(row, radius, colour, width) {
    const place = plane.where(row);
    if (!place) return;
    const [px, py] = plane.toScreen(...place);
    context.beginPath();
    context.arc(px, py, radius * plane.sharp, 0, 2 * Math.PI);
    context.lineWidth = (width + 2) * plane.sharp;
    context.strokeStyle = skyloom.colours.style("--ground");
    context.stroke();
    context.lineWidth = width * plane.sharp;
    context.strokeStyle = colour;
    context.stroke();
  }

  /* Draw what lies over the points. */
  function over() {
    if (canvas.width !== plane.canvas.width || canvas.height !== plane.canvas.height) {
      canvas.width = plane.canvas.width;
      canvas.height = plane.canvas.height;
    }
    context.clearRect(0, 0, canvas.width, canvas.height);
    for (const row of marks.near) ring(row, 6, skyloom.colours.style("--near"), 1.5);
    if (marks.chosen !== null) ring(marks.chosen, 8, skyloom.colours.style("--ink"), 2.5);
    const line = lasso || marks.lasso;
    if (line) {
      context.beginPath();
      line.forEach(([x, y]) => context.lineTo(...plane.toScreen(x, y)));
      context.closePath();
      context.lineWidth = 1.5 * plane.sharp;
      context.strokeStyle = skyloom.colours.style("--accent");
      context.setLineDash([6, 4]);
      context.stroke();
      context.setLineDash([]);
    }
  }
  plane.ondraw = over;

  return {
    all,
    zoom: (factor) => zoom(factor, plane.canvas.width / 2, plane.canvas.height / 2),
    use: (name) => (tool = name),
    mark: (changed) => {
      marks = { ...marks, ...changed };
      over();
    },
    /* See the map so. */
    look(view) {
      plane.view = view;
      move(0, 0);
    },
    /* Bring a galaxy into view. */
    show(row) {
      const place = plane.where(row);
      if (!place) return false;
      const [px, py] = plane.toScreen(...place);
      const margin = 20 * plane.sharp;
      if (px < margin || py < margin || px > canvas.width - margin || py > canvas.height - margin) {
        move(place[0] - plane.view.x, place[1] - plane.view.y);
      }
      return true;
    },
  };
};
