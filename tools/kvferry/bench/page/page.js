// Builds the page from its data.

const ABOUT_TIMES = "From the call until its end is known. The further left and the steeper a curve, the better: p50, p99 and p99.9 are where it crosses 50 %, 99 % and 99.9 %.";

const GROUPS = [
  ["throughput", "Throughput", "How much of the same run's reference, one contiguous copy of the same bytes, is reached."],
  ["blocks", "Block sizes and layouts", "The same bytes in smaller and larger blocks. The dashed line is the limit: the reference of the same run."],
  ["sms", "SM budgets", "How many SMs it takes to fill the link, and what the copy engine does without any."],
  ["latency", "Latency of small transfers", ABOUT_TIMES],
  ["posting", "Posting", "CPU time of the call that posts a transfer."],
  ["clients", "Many at once", "Several clients of one server, one client of several servers, both directions together: GB/s of all together."],
  ["tcp", "Over TCP", "How much of plain sockets with as many connections is reached; inside TLS, of what one core encrypts."],
  ["tcp-small", "Small transfers over TCP", ABOUT_TIMES],
  ["ucx", "Over UCX", "How much of one contiguous get by UCX is reached."],
  ["ucx-small", "Small transfers over UCX", ABOUT_TIMES],
];

const SMALL = ["latency", "posting", "tcp-small", "ucx-small"];

// Small transfers over networks have a section of their own.
function section_name(figure) {
  const network = figure.group === "tcp" || figure.group === "ucx";
  return network && figure.cdf.length > 0 ? figure.group + "-small" : figure.group;
}

class Notes {
  constructor() { this.texts = []; }
  mark(text) {
    if (!this.texts.includes(text)) this.texts.push(text);
    return `[${this.texts.indexOf(text) + 1}]`;
  }
  list() { return element("ol", {class: "notes"}, ...this.texts.map(text => element("li", {}, text))); }
}

function columns_of(group) {
  const time = [["p50", figure => seconds_text(figure.seconds.median)],
                ["p99", figure => seconds_text(figure.seconds.p99)],
                ["p99.9", figure => seconds_text(figure.seconds.p999)],
                ["reference", figure => figure.reference && figure.reference.seconds
                                            ? seconds_text(figure.reference.seconds.median) : ""]];
  const rate = [["median", figure => seconds_text(figure.seconds.median)],
                ["GB/s", figure => rate_text(figure.gb_per_s)],
                ["reference GB/s", figure => rate_text(limit_of(figure))],
                ["p99", figure => seconds_text(figure.seconds.p99)]];
  return SMALL.includes(group) ? time : rate;
}

function share_of(figure) {
  const share = element("td", {class: "share"}, percent_text(figure.of_reference));
  if (figure.of_reference) {
    share.style.setProperty("--share", Math.min(100, 100 * figure.of_reference.median) + "%");
  }
  return share;
}

function marks_of(figure, notes) {
  const unverified = figure.verified ? [] : [notes.mark("the bytes of this one were not verified")];
  const marks = [...unverified, ...(figure.note ? [notes.mark(figure.note)] : [])];
  return element("td", {}, marks.join(""));
}

function row_of(figure, columns, with_share, notes) {
  const texts = [what_text(figure), figure.method, size_text(figure)].map(text => element("td", {}, text));
  const numbers = columns.map(([, text]) => element("td", {class: "number"}, text(figure)));
  return element("tr", {}, ...texts, ...numbers, ...(with_share ? [share_of(figure)] : []), marks_of(figure, notes));
}

function part_text(figure) {
  const reference = figure.reference ? `; reference: ${figure.reference.name}` : "";
  return `${figure.link}, ${figure.from} \u2192 ${figure.to}${reference}`;
}

function table_of(group, title, figures) {
  const notes = new Notes(), body = element("tbody");
  // Columns that are empty in every row are left out.
  const columns = columns_of(group).filter(([, text]) => figures.some(figure => text(figure) !== ""));
  const with_share = figures.some(figure => figure.of_reference);
  const heads = ["what", "method", "size", ...columns.map(([head]) => head),
                 ...(with_share ? ["% of the reference [95\u00a0%]"] : []), ""];
  for (const [part, members] of grouped(figures, part_text)) {
    const head = element("th", {colspan: heads.length, scope: "rowgroup"}, element("span", {}, part));
    body.append(element("tr", {class: "part"}, head));
    for (const figure of members) body.append(row_of(figure, columns, with_share, notes));
  }
  const head_of = (head, i) =>
      element("th", {scope: "col", class: i >= 3 && i < 3 + columns.length ? "number" : "text"}, head);
  const head = element("thead", {}, element("tr", {}, ...heads.map(head_of)));
  // A scrolling box must be reachable by keyboard.
  const box = element("div", {class: "scroll", tabindex: "0", role: "region", "aria-label": `${title}: all figures`},
                      element("table", {}, head, body));
  return notes.texts.length ? [box, notes.list()] : [box];
}

function plot_card(group_title, plot, charts) {
  const label = `${group_title}, ${plot.title}: the table below has the same figures`;
  const canvas = element("canvas", {role: "img", "aria-label": label});
  const box = element("div", {}, canvas);
  box.style.height = height_of(plot) + "px";
  charts.add(canvas, plot);
  return element("div", {class: "plot"}, element("h3", {}, plot.title), box);
}

function section_of([group, title, about], result, charts) {
  const figures = result.figures.filter(figure => section_name(figure) === group);
  if (figures.length === 0) return [];
  const cards = plots_of(group, figures, result.machine).map(plot => plot_card(title, plot, charts));
  const plots = cards.length ? [element("div", {class: "plots"}, ...cards)] : [];
  return [element("section", {id: group}, element("h2", {}, title), element("p", {class: "about"}, about), ...plots,
                  ...table_of(group, title, figures))];
}

function gpu_text(gpu) {
  return `${gpu.name}, ${count_text(gpu.sms, "SM")}, ${bytes_text(gpu.memory_bytes)}, ${gpu.pci}, ${gpu.uuid}${gpu.mps ? ", MPS" : ""}`;
}

function facts_of(result) {
  const machine = result.machine;
  return [
    ["host", machine.host],
    ...machine.gpus.map(gpu => [gpu.device, gpu_text(gpu)]),
    ["driver", machine.driver],
    ["CUDA runtime", machine.cuda_runtime],
    ["CPU", `${machine.cpu}, ${count_text(machine.cores, "core")}, ${bytes_text(machine.memory_bytes)}`],
    ["kernel", machine.kernel],
    ["kvferry", result.build || result.version],
    ["commit", result.commit],
    ["command", element("code", {}, result.command_line)],
    ["date", result.date],
    ["measured for", seconds_text(result.seconds)],
  ].filter(([, value]) => value !== "");
}

function show_head(result) {
  const names = grouped(result.machine.gpus, gpu => gpu.name);
  const gpus = [...names].map(([name, same]) => `${same.length} x ${name}`);
  const summary = [...(gpus.length ? gpus : [result.machine.cpu]), result.machine.driver && `driver ${result.machine.driver}`,
                   `kvferry ${result.version}`, result.date];
  document.getElementById("subtitle").textContent = summary.filter(Boolean).join(" \u00b7 ");
  if (result.machine.host) document.title = `kvferry bench: ${result.machine.host}, ${result.date}`;
  const facts = document.getElementById("facts");
  for (const [name, value] of facts_of(result)) facts.append(element("dt", {}, name), element("dd", {}, value));
  const banners = [
    result.interrupted && "This run was interrupted: these are the figures measured until then.",
    result.quick && "Measured with --quick: few repetitions, so the intervals are wide.",
    result.figures.length === 0 && "Nothing was measured.",
  ].filter(Boolean);
  document.getElementById("run").prepend(...banners.map(text => element("p", {class: "banner"}, text)));
}

function show_skipped(result, main) {
  if (result.skipped.length === 0) return;
  const list = element("dl", {});
  for (const {what, why} of result.skipped) list.append(element("dt", {}, what), element("dd", {}, why));
  main.append(element("section", {id: "skipped"}, element("h2", {}, "Skipped"), list));
}

function show(result) {
  const main = document.getElementById("main"), charts = new Charts();
  show_head(result);
  for (const group of GROUPS) main.append(...section_of(group, result, charts));
  show_skipped(result, main);
  charts.draw();
}

show(JSON.parse(document.getElementById("data").textContent));
