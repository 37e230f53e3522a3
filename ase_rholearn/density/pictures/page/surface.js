// Surfaces of one value in a field, and the values of a second field on them.

// Words of 16 bits between low and high, as numbers.
function decoded(text, low, high) {
  const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0)), words = new DataView(bytes.buffer);
  const values = new Float32Array(bytes.length / 2), step = (high - low) / 65535;
  for (let i = 0; i < values.length; i++) values[i] = low + step * words.getUint16(2 * i, true);
  return values;
}

// Marching tetrahedra: six to a cube, whose edges go from a corner to one with more set bits.
const TETRAHEDRA = [[0, 1, 3, 7], [0, 1, 5, 7], [0, 2, 3, 7], [0, 2, 6, 7], [0, 4, 5, 7], [0, 4, 6, 7]];

function isosurface(field, level) {
  const [nx, ny, nz] = field.shape, g = field.grid, c = field.step, o = field.origin;
  const offset = [];
  for (let b = 0; b < 8; b++) offset.push((b & 1) * ny * nz + (b >> 1 & 1) * nz + (b >> 2 & 1));
  const known = new Int32Array(8 * g.length).fill(-1);
  const points = [], normals = [], faces = [], r = field.reciprocal;
  const slope = (i, n, stride, at) => at === 0 ? g[i + stride] - g[i]
    : at === n - 1 ? g[i] - g[i - stride] : (g[i + stride] - g[i - stride]) / 2;
  function vertex(i, j, k, base, from, to) {
    const a = base + offset[from], b = base + offset[to], key = 8 * a + (to ^ from);
    if (known[key] >= 0) return known[key];
    const t = (level - g[a]) / (g[b] - g[a]), q = [0, 0, 0], d = [0, 0, 0];
    for (const [corner, weight] of [[from, 1 - t], [to, t]]) {
      const x = i + (corner & 1), y = j + (corner >> 1 & 1), z = k + (corner >> 2 & 1), n = base + offset[corner];
      q[0] += weight * x; q[1] += weight * y; q[2] += weight * z;
      d[0] -= weight * slope(n, nx, ny * nz, x);
      d[1] -= weight * slope(n, ny, nz, y);
      d[2] -= weight * slope(n, nz, 1, z);
    }
    for (let m = 0; m < 3; m++) points.push(o[m] + q[0] * c[0][m] + q[1] * c[1][m] + q[2] * c[2][m]);
    const normal = [0, 1, 2].map(m => d[0] * r[0][m] + d[1] * r[1][m] + d[2] * r[2][m]);
    const size = Math.hypot(...normal) || 1;
    normals.push(...normal.map(x => x / size));
    return known[key] = points.length / 3 - 1;
  }
  for (let i = 0; i < nx - 1; i++) for (let j = 0; j < ny - 1; j++) for (let k = 0; k < nz - 1; k++) {
    const base = (i * ny + j) * nz + k;
    let above = 0;
    for (let b = 0; b < 8; b++) if (g[base + offset[b]] > level) above |= 1 << b;
    if (above === 0 || above === 255) continue;
    for (const corners of TETRAHEDRA) {
      const inside = [], outside = [];
      for (const b of corners) (above >> b & 1 ? inside : outside).push(b);
      if (!inside.length || !outside.length) continue;
      const cut = (p, q) => vertex(i, j, k, base, Math.min(p, q), Math.max(p, q));
      if (inside.length === 2) {
        const [p, q] = inside, [s, t] = outside;
        faces.push(cut(p, s), cut(p, t), cut(q, t), cut(p, s), cut(q, t), cut(q, s));
      } else {
        const [one, three] = inside.length === 1 ? [inside[0], outside] : [outside[0], inside];
        faces.push(...three.map(b => cut(one, b)));
      }
    }
  }
  return { points, normals, faces };
}

// A field between its points: linear along each axis.
function interpolated(field, point) {
  const [, ny, nz] = field.shape, at = [], g = field.grid;
  for (let k = 0; k < 3; k++) {
    const along = field.reciprocal[k].reduce((sum, r, m) => sum + r * (point[m] - field.origin[m]), 0);
    const whole = Math.min(Math.max(Math.floor(along), 0), field.shape[k] - 2);
    at.push([whole, Math.min(Math.max(along - whole, 0), 1)]);
  }
  const [[i, x], [j, y], [k, z]] = at, base = (i * ny + j) * nz + k;
  const line = n => g[n] + z * (g[n + 1] - g[n]);
  const plane = n => line(n) + y * (line(n + nz) - line(n));
  return plane(base) + x * (plane(base + ny * nz) - plane(base));
}

// Colours of points on the scale from -limit to limit.
function coloured(points, scale) {
  const colours = [], { negative, neutral, positive } = data.colours;
  for (let i = 0; i < points.length; i += 3) {
    const value = interpolated(scale, points.slice(i, i + 3)) / scale.limit;
    const end = value < 0 ? negative : positive, part = Math.min(Math.abs(value), 1);
    colours.push(...neutral.map((c, m) => c + part * (end[m] - c)));
  }
  return colours;
}
