// What is written over the scene: names of atoms, and what the colours mean.

const overlay = document.getElementById("overlay"), pen = overlay.getContext("2d");
let named = false, pointed = null;

// Pixels of the canvas from left and top, and depth (larger is nearer).
function onCanvas(point) {
  const seen = turned(point), [sx, sy] = scales();
  return [(1 + seen[0] * sx) * canvas.width / 2, (1 - seen[1] * sy) * canvas.height / 2, seen[2]];
}

// The nearest ball under a place on the canvas, or null.
function ballAt(x, y) {
  let best = null, depth = -Infinity;
  for (const ball of data.balls) {
    const [bx, by, z] = onCanvas(ball.position), reach = ball.radius * scales()[1] * canvas.height / 2;
    if (Math.hypot(bx - x, by - y) < Math.max(reach, 6) && z > depth) [best, depth] = [ball, z];
  }
  return best;
}

function write(text, x, y, align) {
  pen.textAlign = align;
  pen.lineWidth = 3 * pixel();
  pen.strokeStyle = "white"; pen.fillStyle = "black";
  pen.strokeText(text, x, y); pen.fillText(text, x, y);
}
const pixel = () => window.devicePixelRatio || 1;
const css = colour => `rgb(${colour.map(c => Math.round(255 * c)).join(",")})`;

// Labels that would lie on one of a nearer atom are left out.
function writeNames() {
  const taken = [], places = data.balls.map(ball => [...onCanvas(ball.position), ball.label]);
  for (const [x, y, , label] of places.sort((a, b) => b[2] - a[2])) {
    const width = pen.measureText(label).width / 2 + 2 * pixel(), height = 8 * pixel();
    if (taken.some(t => Math.abs(t[0] - x) < t[2] + width && Math.abs(t[1] - y) < 2 * height)) continue;
    taken.push([x, y, width]);
    write(label, x, y, "center");
  }
}

function writePointed() {
  const [x, y] = onCanvas(pointed.position), place = pointed.position.map(c => c.toFixed(3)).join(", ");
  write(`${pointed.label}  (${place}) Å`, Math.min(x + 12 * pixel(), overlay.width - 200 * pixel()), y - 14 * pixel(), "left");
}

function drawScale(scale) {
  const p = pixel(), x = overlay.width - 90 * p, width = 16 * p;
  const height = Math.min(220 * p, overlay.height * 0.6), y = (overlay.height - height) / 2;
  const { negative, neutral, positive } = data.colours, shades = pen.createLinearGradient(0, y, 0, y + height);
  [positive, neutral, negative].forEach((colour, k) => shades.addColorStop(k / 2, css(colour)));
  pen.fillStyle = shades; pen.fillRect(x, y, width, height);
  pen.strokeStyle = "black"; pen.lineWidth = p; pen.strokeRect(x, y, width, height);
  for (let k = -2; k <= 2; k++) {
    const at = y + height * (2 - k) / 4, number = (scale.limit * k / 2).toPrecision(2).replace("-", "−");
    pen.fillStyle = "black"; pen.fillRect(x + width, at - p / 2, 4 * p, p);
    write(k ? number : "0", x + width + 8 * p, at, "left");
  }
  write(`${scale.name} / ${scale.unit}`, overlay.width - 8 * p, y - 16 * p, "right");
}

function drawKey(entries) {
  const p = pixel();
  entries.forEach(({ colour, text }, k) => {
    const y = overlay.height - (16 + 20 * (entries.length - 1 - k)) * p;
    pen.fillStyle = css(colour); pen.fillRect(12 * p, y - 6 * p, 12 * p, 12 * p);
    pen.strokeStyle = "black"; pen.lineWidth = p; pen.strokeRect(12 * p, y - 6 * p, 12 * p, 12 * p);
    write(text, 30 * p, y, "left");
  });
}

function renderLabels(field, value) {
  overlay.width = canvas.width; overlay.height = canvas.height;
  pen.font = `${13 * pixel()}px sans-serif`;
  pen.textBaseline = "middle";
  pen.lineJoin = "round";
  if (named) writeNames();
  if (pointed) writePointed();
  if (field.colouring) drawScale(field.colouring);
  else drawKey(signs(field).map(s => ({ colour: s < 0 ? data.colours.negative : data.colours.positive, text: written(s * value, field) })));
}

const signs = field => field.signed ? [1, -1] : [1];
function written(value, field) {
  const sign = value < 0 ? "−" : field.signed ? "+" : "";
  return `${sign}${Math.abs(value).toPrecision(3)} ${field.unit}`;
}
