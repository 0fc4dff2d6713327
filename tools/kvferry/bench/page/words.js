// How the page puts a figure into words, and the elements it is made of. Text goes into the page as
// text only: names of hosts and devices are not to be trusted.

function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
  for (const child of children) made.append(child);  // a string becomes a text node
  return made;
}

function three_digits(value) {
  const size = Math.abs(value);
  return value.toFixed(size < 9.995 ? 2 : size < 99.95 ? 1 : 0);
}

function seconds_text(seconds) {
  if (seconds < 0.9995e-6) return three_digits(seconds * 1e9) + " ns";
  if (seconds < 0.9995e-3) return three_digits(seconds * 1e6) + " us";
  if (seconds < 0.9995) return three_digits(seconds * 1e3) + " ms";
  return three_digits(seconds) + " s";
}

function axis_seconds_text(seconds) {
  const [unit, scale] =
      seconds < 0.9995e-6 ? ["ns", 1e9] : seconds < 0.9995e-3 ? ["us", 1e6] :
      seconds < 0.9995 ? ["ms", 1e3] : ["s", 1];
  return Number((seconds * scale).toPrecision(3)) + " " + unit;
}

// Exactly: 65,520 bytes are no "64.0 KiB".
function block_text(bytes) {
  for (const [unit, size] of [["GiB", 2 ** 30], ["MiB", 2 ** 20], ["KiB", 2 ** 10]]) {
    if (bytes >= size && bytes % size === 0) return bytes / size + " " + unit;
  }
  return bytes + " B";
}

function bytes_text(bytes) {
  for (const [unit, size] of [["GiB", 2 ** 30], ["MiB", 2 ** 20], ["KiB", 2 ** 10]]) {
    if (bytes >= size) return Number((bytes / size).toPrecision(4)) + " " + unit;
  }
  return bytes + " B";
}

function count_text(count, noun) { return count + " " + noun + (count === 1 ? "" : "s"); }

function rate_text(rate) { return rate > 0 ? three_digits(rate) : ""; }

function percent_text(ratio) {
  if (!ratio) return "";
  const [low, high] = ratio.ci.map(end => (100 * end).toFixed(1));
  return `${(100 * ratio.median).toFixed(1)} % [${low}, ${high}]`;
}

function size_text(figure) {
  return `${block_text(figure.block_bytes)} x ${figure.blocks} x ${figure.layers}`;
}

// A pull and a push between the same two memories belong together: the pair has no direction.
function pair_text(figure) {
  const ends = [...new Set([figure.from, figure.to])].sort();
  const between = ends.length === 1 ? `within ${ends[0]}` : `${ends[0]} and ${ends[1]}`;
  return `${figure.link}: ${between}`;
}

function what_text(figure) {
  const words = [figure.direction === "both" ? "both ways" : figure.direction];
  const many = figure.group === "clients", brief = many || figure.group === "tcp";
  if (figure.path === "iperf3") words.splice(0, 1, "iperf3");
  else if (figure.path === "openssl") words.splice(0, 1, "OpenSSL alone");
  else if (!brief || figure.order !== "scattered") words.push(figure.order);
  if (figure.copy !== "auto") words.push(figure.copy);
  if (figure.layout !== "joint") words.push(figure.layout);
  let text = words.join(" ");
  if (figure.max_sms) text += ", " + count_text(figure.max_sms, "SM");
  if (figure.streams) text += ", " + count_text(figure.streams, "stream");
  if (figure.wire === "tls") text += ", TLS";
  if (figure.wire === "checksum") text += ", checksum";
  if (many && figure.servers === 1) text += ", " + count_text(figure.clients, "client");
  if (figure.servers !== 1) text += ", " + count_text(figure.servers, "server");
  if (figure.processes > 1) text += ` in ${figure.processes} processes`;
  return text;
}

function rate_of(figure, seconds) { return figure.bytes / seconds / 1e9; }

// The limit: what the reference of the same run reached, in GB/s.
function limit_of(figure) {
  const reference = figure.reference && figure.reference.seconds;
  return reference && reference.median > 0 ? rate_of(figure, reference.median) : null;
}

// [low, high] of the rate. That of several clients together is not bytes / seconds: it is as uncertain
// as the time is.
function rate_interval(figure) {
  const time = figure.seconds;
  if (!(time.median_ci[0] > 0)) return null;
  return [figure.gb_per_s * time.median / time.median_ci[1],
          figure.gb_per_s * time.median / time.median_ci[0]];
}

// Figures by a name each of them has, in the order of first appearance.
function grouped(figures, name_of) {
  const groups = new Map();
  for (const figure of figures) {
    const name = name_of(figure);
    if (!groups.has(name)) groups.set(name, []);
    groups.get(name).push(figure);
  }
  return groups;
}
