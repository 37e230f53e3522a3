// Balls, sticks and edges of the cell: one mesh with colours.

const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];

// A sheet of points and normals, place(u, angle), closed around its axis.
function addSheet(mesh, rows, columns, place, colour) {
  const first = mesh.points.length / 3;
  for (let i = 0; i <= rows; i++) for (let j = 0; j <= columns; j++) {
    const [p, n] = place(i / rows, 2 * Math.PI * j / columns);
    mesh.points.push(...p); mesh.normals.push(...n); mesh.colours.push(...colour);
  }
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) {
    const a = first + i * (columns + 1) + j, b = a + columns + 1;
    mesh.faces.push(a, b, a + 1, a + 1, b, b + 1);
  }
}

function addBall(mesh, fine, { position, radius, colour }) {
  addSheet(mesh, fine, 2 * fine, (u, v) => {
    const n = [Math.sin(Math.PI * u) * Math.cos(v), Math.sin(Math.PI * u) * Math.sin(v), Math.cos(Math.PI * u)];
    return [n.map((x, m) => position[m] + radius * x), n];
  }, colour);
}

function addStick(mesh, fine, { ends: [from, to], radius, colour }) {
  const d = to.map((x, m) => x - from[m]), size = Math.hypot(...d) || 1, w = d.map(x => x / size);
  const u = cross(w, Math.abs(w[0]) < 0.8 ? [1, 0, 0] : [0, 1, 0]), s = Math.hypot(...u);
  const e = u.map(x => x / s), f = cross(w, e);
  addSheet(mesh, 1, fine, (t, v) => {
    const n = e.map((x, m) => x * Math.cos(v) + f[m] * Math.sin(v));
    return [n.map((x, m) => from[m] + t * d[m] + radius * x), n];
  }, colour);
}

function skeletonMesh() {
  const mesh = { points: [], normals: [], faces: [], colours: [] };
  const fine = data.balls.length > 200 ? 8 : 16;
  for (const ball of data.balls) addBall(mesh, fine, ball);
  for (const stick of data.sticks) addStick(mesh, fine, stick);
  return mesh;
}
