// Fields, sliders, buttons, pointers and keys.

const [choice, slider, glass, names] = ["field", "level", "opacity", "names"].map(id => document.getElementById(id));

for (const field of data.fields) {
  // values are stored as asinh(value / softening)
  for (const part of [field, field.colouring]) if (part) part.grid = decoded(part.values, part.low, part.high);
  choice.add(new Option(field.name));
}
const chosen = () => data.fields[choice.selectedIndex];
const isovalue = field => field.least * (field.most / field.least) ** (slider.value / 1000);

function render() {
  renderScene();
  renderLabels(chosen(), isovalue(chosen()));
}

function rebuild() {
  const field = chosen(), value = isovalue(field), level = Math.asinh(value / data.softening);
  surfaces.forEach(forget);
  surfaces = signs(field).map(sign => {
    const mesh = isosurface(field, sign * level);
    if (field.colouring) mesh.colours = coloured(mesh.points, field.colouring);
    return upload(mesh, sign < 0 ? data.colours.negative : data.colours.positive);
  });
  const inBohr = field.unit === "e/Å³" ? ` (${(value * data.bohr ** 3).toPrecision(3)} e/bohr³)` : "";
  document.getElementById("value").textContent = (field.signed ? "± " : "") + value.toPrecision(3) + " " + field.unit + inBohr;
  document.body.dataset.triangles = surfaces.reduce((sum, s) => sum + s.count / 3, 0);
  render();
}

function choose() {
  const field = chosen();
  slider.value = 1000 * Math.log(field.start / field.least) / Math.log(field.most / field.least);
  glass.value = field.colouring ? 92 : 60;
  opacity = glass.value / 100;
  rebuild();
}

choice.onchange = choose;
slider.oninput = rebuild;
glass.oninput = () => { opacity = glass.value / 100; render(); };
names.onchange = () => { named = names.checked; render(); };

// scene and what is written over it, as one picture
document.getElementById("save").onclick = () => {
  pointed = null;
  render();
  const both = document.createElement("canvas");
  [both.width, both.height] = [canvas.width, canvas.height];
  for (const layer of [canvas, overlay]) both.getContext("2d").drawImage(layer, 0, 0);
  const link = document.createElement("a");
  link.download = `${document.title} ${chosen().name}.png`;
  link.href = both.toDataURL("image/png");
  document.body.dataset.saved = link.href.length;
  link.click();
};

function rotate(right, down) {
  const [ca, sa, cb, sb] = [Math.cos(right), Math.sin(right), Math.cos(down), Math.sin(down)];
  const step = [[ca, 0, sa], [sb * sa, cb, -sb * ca], [-cb * sa, sb, cb * ca]];
  turn = step.map(row => [0, 1, 2].map(j => row[0] * turn[0][j] + row[1] * turn[1][j] + row[2] * turn[2][j]));
  render();
}
function enlarge(factor) { zoom = Math.min(Math.max(zoom * factor, 0.1), 50); render(); }
function beginAgain() { begin(); render(); }

// one pointer turns, two zoom
const pointers = new Map();
const spread = () => { const [a, b] = [...pointers.values()]; return Math.hypot(a[0] - b[0], a[1] - b[1]); };
canvas.onpointerdown = e => { pointers.set(e.pointerId, [e.clientX, e.clientY]); canvas.setPointerCapture(e.pointerId); };
canvas.onpointerup = canvas.onpointercancel = e => { pointers.delete(e.pointerId); };
canvas.onpointermove = e => {
  const last = pointers.get(e.pointerId);
  if (!last) { point(e); return; }
  const before = pointers.size === 2 && spread();
  pointers.set(e.pointerId, [e.clientX, e.clientY]);
  if (before) enlarge(spread() / before);
  else if (pointers.size === 1) rotate(0.01 * (e.clientX - last[0]), 0.01 * (e.clientY - last[1]));
};
function point(e) {
  const before = pointed;
  pointed = ballAt(e.offsetX * pixel(), e.offsetY * pixel());
  if (pointed !== before) render();
}
canvas.onpointerleave = () => { if (pointed) { pointed = null; render(); } };
canvas.onwheel = e => { e.preventDefault(); enlarge(Math.exp(-0.001 * e.deltaY)); };
canvas.ondblclick = beginAgain;

const keys = {
  ArrowLeft: () => rotate(-0.1, 0), ArrowRight: () => rotate(0.1, 0),
  ArrowUp: () => rotate(0, -0.1), ArrowDown: () => rotate(0, 0.1),
  "+": () => enlarge(1.1), "=": () => enlarge(1.1), "-": () => enlarge(1 / 1.1),
  Home: beginAgain, "0": beginAgain, l: () => names.click(),
};
canvas.onkeydown = e => {
  if (!keys[e.key] || e.ctrlKey || e.metaKey || e.altKey) return;
  e.preventDefault();
  keys[e.key]();
};
new ResizeObserver(render).observe(document.getElementById("stage"));

begin();
choose();
document.body.dataset.ready = Math.round(performance.now());
