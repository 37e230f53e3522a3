// What WebGL draws: meshes, as they are turned and scaled.

const canvas = document.getElementById("scene"), message = document.getElementById("message");
const gl = canvas.getContext("webgl2", { antialias: true, alpha: false });
if (!gl) { message.textContent = "This browser shows no WebGL 2: open the file in another one."; throw new Error("no WebGL 2"); }

function shader(type, text) {
  const s = gl.createShader(type);
  gl.shaderSource(s, text); gl.compileShader(s);
  if (!gl.getShaderParameter(s, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(s));
  return s;
}
const program = gl.createProgram();
gl.attachShader(program, shader(gl.VERTEX_SHADER, `#version 300 es
  in vec3 point; in vec3 normal; in vec3 colour;
  uniform mat3 turn; uniform vec3 centre; uniform vec3 scale;
  out vec3 n; out vec3 c;
  void main() {
    n = turn * normal; c = colour;
    gl_Position = vec4(turn * (point - centre) * scale, 1.0);
  }`));
gl.attachShader(program, shader(gl.FRAGMENT_SHADER, `#version 300 es
  precision mediump float;
  in vec3 n; in vec3 c; uniform float opacity; out vec4 result;
  void main() {
    vec3 m = normalize(n); m = m.z < 0.0 ? -m : m;
    float light = 0.35 + 0.65 * max(dot(m, normalize(vec3(0.4, 0.5, 1.0))), 0.0);
    float shine = pow(max(dot(m, normalize(vec3(0.2, 0.3, 1.0))), 0.0), 40.0);
    result = vec4(mix(c * light, vec3(1.0), 0.25 * shine), opacity);
  }`));
gl.linkProgram(program);
gl.useProgram(program);
const uniform = name => gl.getUniformLocation(program, name);
const [turnAt, centreAt, scaleAt, opacityAt] = ["turn", "centre", "scale", "opacity"].map(uniform);

function upload(mesh, colour) {
  const array = gl.createVertexArray(), buffers = [];
  gl.bindVertexArray(array);
  for (const name of ["point", "normal", "colour"]) {
    const at = gl.getAttribLocation(program, name), values = mesh[name + "s"];
    if (!values) { gl.disableVertexAttribArray(at); continue; }
    const buffer = gl.createBuffer();
    buffers.push(buffer);
    gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
    gl.bufferData(gl.ARRAY_BUFFER, new Float32Array(values), gl.STATIC_DRAW);
    gl.enableVertexAttribArray(at);
    gl.vertexAttribPointer(at, 3, gl.FLOAT, false, 0, 0);
  }
  const faces = gl.createBuffer();
  buffers.push(faces);
  gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, faces);
  gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, new Uint32Array(mesh.faces), gl.STATIC_DRAW);
  return { array, buffers, count: mesh.faces.length, colour };
}
function forget(drawn) {
  drawn.buffers.forEach(b => gl.deleteBuffer(b));
  gl.deleteVertexArray(drawn.array);
}
function draw(drawn) {
  gl.bindVertexArray(drawn.array);
  if (drawn.colour) gl.vertexAttrib3fv(gl.getAttribLocation(program, "colour"), drawn.colour);
  gl.drawElements(gl.TRIANGLES, drawn.count, gl.UNSIGNED_INT, 0);
}

const skeleton = upload(skeletonMesh());
let surfaces = [], opacity = 0.6, turn, zoom;

function begin() {
  turn = data.view.map(row => [...row]);
  zoom = 1;
}

// From Angstrom to the ends of the canvas at -1 and 1.
function scales() {
  const size = zoom / data.radius, wide = canvas.width / canvas.height;
  return [size / Math.max(wide, 1), size * Math.min(wide, 1), -0.5 / data.radius];
}

function turned(point) {
  return turn.map(row => row.reduce((sum, x, m) => sum + x * (point[m] - data.centre[m]), 0));
}

function renderScene() {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.max(1, canvas.clientWidth * ratio);
  canvas.height = Math.max(1, canvas.clientHeight * ratio);
  gl.viewport(0, 0, canvas.width, canvas.height);
  gl.clearColor(1, 1, 1, 1);
  gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
  gl.enable(gl.DEPTH_TEST);
  gl.depthFunc(gl.LEQUAL);
  gl.uniform3f(scaleAt, ...scales());
  gl.uniform3fv(centreAt, data.centre);
  gl.uniformMatrix3fv(turnAt, false, [0, 1, 2].flatMap(j => [0, 1, 2].map(i => turn[i][j])));
  gl.disable(gl.BLEND);
  gl.uniform1f(opacityAt, 1);
  draw(skeleton);
  // the surface nearest to the eye only: first its depth, then its colour
  gl.colorMask(false, false, false, false);
  surfaces.forEach(draw);
  gl.colorMask(true, true, true, true);
  gl.enable(gl.BLEND);
  gl.blendFunc(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA);
  gl.uniform1f(opacityAt, opacity);
  surfaces.forEach(draw);
}
