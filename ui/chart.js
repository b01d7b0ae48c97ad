// A line chart of the last minute on a canvas, with only what this page needs.

const PAD = { top: 14, right: 4, bottom: 16, left: 4 };
const STEPS = [1, 1.5, 2, 3, 4, 6, 8, 10];

/** The smallest round number that is not below `value`. */
export function roundUp(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return power * STEPS.find((step) => step * power >= value * 0.999);
}

export class Chart {
  #canvas;
  #lines;
  #format;
  #points = [];
  #hover = null;

  /** `lines` are `{ field, color, fill }`, colors named as CSS custom properties; `format` writes a value. */
  constructor(canvas, lines, format) {
    this.#canvas = canvas;
    this.#lines = lines;
    this.#format = format;
    canvas.addEventListener("pointermove", (event) => {
      this.#hover = event.offsetX;
      this.draw();
    });
    canvas.addEventListener("pointerleave", () => {
      this.#hover = null;
      this.draw();
    });
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  show(points) {
    this.#points = points;
    this.draw();
  }

  draw() {
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    const ratio = window.devicePixelRatio || 1;
    if (!width || !height) return;
    if (this.#canvas.width !== Math.round(width * ratio) || this.#canvas.height !== Math.round(height * ratio)) {
      this.#canvas.width = Math.round(width * ratio);
      this.#canvas.height = Math.round(height * ratio);
    }
    const pen = this.#canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    const style = getComputedStyle(this.#canvas);
    const plot = { x: PAD.left, y: PAD.top, width: width - PAD.left - PAD.right, height: height - PAD.top - PAD.bottom };
    const values = this.#points.flatMap((point) => this.#lines.map((line) => point?.[line.field] ?? 0));
    const top = roundUp(1.1 * Math.max(0, ...values));
    this.#frame(pen, plot, style, top);
    for (const line of this.#lines) this.#line(pen, plot, style, top, line);
    if (this.#hover !== null) this.#readout(pen, plot, style, top);
  }

  #x(plot, index) {
    return plot.x + (plot.width * index) / Math.max(1, this.#points.length - 1);
  }

  #y(plot, top, value) {
    return plot.y + plot.height * (1 - Math.max(0, value) / top);
  }

  #frame(pen, plot, style, top) {
    pen.strokeStyle = style.getPropertyValue("--rule");
    pen.lineWidth = 1;
    for (const share of [0, 0.5, 1]) {
      const y = Math.round(plot.y + plot.height * share) + 0.5;
      pen.beginPath();
      pen.moveTo(plot.x, y);
      pen.lineTo(plot.x + plot.width, y);
      pen.stroke();
    }
    pen.font = `11px ${style.fontFamily}`;
    pen.fillStyle = style.getPropertyValue("--faint");
    pen.textBaseline = "alphabetic";
    pen.textAlign = "left";
    pen.fillText(this.#format(top).replace(/\.0+ /, " "), plot.x, plot.y - 4);
    pen.fillText("60 s ago", plot.x, plot.y + plot.height + 13);
    pen.textAlign = "right";
    pen.fillText("now", plot.x + plot.width, plot.y + plot.height + 13);
  }

  #line(pen, plot, style, top, { field, color, fill }) {
    pen.strokeStyle = style.getPropertyValue(color);
    pen.fillStyle = style.getPropertyValue(color);
    pen.lineWidth = 1.5;
    pen.lineJoin = "round";
    for (const run of this.#runs(field)) {
      pen.beginPath();
      for (const [index, value] of run) pen.lineTo(this.#x(plot, index), this.#y(plot, top, value));
      // A single second between two empty ones is a dot.
      if (run.length === 1) pen.arc(this.#x(plot, run[0][0]), this.#y(plot, top, run[0][1]), 0.75, 0, 7);
      pen.stroke();
      if (!fill) continue;
      pen.lineTo(this.#x(plot, run.at(-1)[0]), plot.y + plot.height);
      pen.lineTo(this.#x(plot, run[0][0]), plot.y + plot.height);
      pen.globalAlpha = 0.12;
      pen.fill();
      pen.globalAlpha = 1;
    }
  }

  /** Runs of seconds with values, as [index, value] lists: a silence is a break, not a slope. */
  #runs(field) {
    const runs = [];
    let open = null;
    this.#points.forEach((point, index) => {
      const value = point?.[field] ?? null;
      if (value === null) open = null;
      else if (open) open.push([index, value]);
      else runs.push((open = [[index, value]]));
    });
    return runs;
  }

  #readout(pen, plot, style, top) {
    const last = this.#points.length - 1;
    const index = Math.max(0, Math.min(last, Math.round(((this.#hover - plot.x) / plot.width) * last)));
    const point = this.#points[index];
    const x = this.#x(plot, index);
    pen.strokeStyle = style.getPropertyValue("--faint");
    pen.beginPath();
    pen.moveTo(Math.round(x) + 0.5, plot.y);
    pen.lineTo(Math.round(x) + 0.5, plot.y + plot.height);
    pen.stroke();
    const said = this.#lines.map(({ field }) => point?.[field] ?? null).map((value) => (value === null ? "–" : this.#format(value)));
    pen.fillStyle = style.getPropertyValue("--text");
    pen.textAlign = "right";
    pen.fillText(`${last - index + 1} s ago: ${said.join(", ")}`, plot.x + plot.width, plot.y - 4);
    this.#lines.forEach(({ field, color }) => {
      if (point?.[field] == null) return;
      pen.fillStyle = style.getPropertyValue(color);
      pen.beginPath();
      pen.arc(x, this.#y(plot, top, point[field]), 2.5, 0, 7);
      pen.fill();
    });
  }
}
