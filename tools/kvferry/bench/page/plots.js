// What each plot shows: {kind, title, series, ...} from figures, in terms of data alone. draw.js turns
// it into a chart. A series is {label, points: [{x, y, interval, text}], line, limit}.

const SMALL_STEPS = Array.from({length: 31}, (_, i) => 2 ** i);

function point_of(figure, x) {
  return {
    x, y: figure.gb_per_s, interval: rate_interval(figure),
    text: [`${three_digits(figure.gb_per_s)} GB/s, ${seconds_text(figure.seconds.median)}` +
               (figure.of_reference ? `, ${percent_text(figure.of_reference)} of the reference` : ""),
           figure.method, size_text(figure)],
  };
}

function series_label(figure, fields) {
  const words = fields.map(field => figure[field]).filter(word => word && word !== "joint" && word !== "auto");
  return words.join(" ");
}

function by_x(a, b) { return a.x - b.x; }

// The reference's rate over the same x; one line for all references of the same name.
function limit_series(figures, x_of) {
  const lines = grouped(figures.filter(limit_of), figure => figure.reference.name);
  return [...lines].map(([name, members]) => {
    const at = grouped(members, x_of);
    const points = [...at].map(([x, same]) => {
      const y = same.map(limit_of).reduce((sum, rate) => sum + rate, 0) / same.length;
      return {x, y, text: [`${three_digits(y)} GB/s`]};
    });
    return {label: `reference: ${name}`, points: points.sort(by_x), line: true, limit: true};
  });
}

function over_blocks(title, figures) {
  const is_step = figure => SMALL_STEPS.includes(figure.block_bytes);
  // Sizes that are no power of two would make the line jump: points of their own.
  const kind = figure => series_label(figure, ["direction", "order", "copy", "layout"]) +
                         (is_step(figure) || figure.layout !== "joint" ? "" : ", odd sizes");
  const series = [...grouped(figures, kind)].map(([label, members]) => ({
    label, line: members.length > 1 && members.every(is_step),
    points: members.map(figure => point_of(figure, figure.block_bytes)).sort(by_x),
  })).sort((a, b) => b.line - a.line);  // lines first: theirs are the colours easiest to tell apart
  return {kind: "rate", title, series: [...series, ...limit_series(figures, figure => figure.block_bytes)],
          x: {label: "bytes of a block in one layer", text: block_text}};
}

function over_sms(title, figures, machine) {
  const sms_of = figure => {
    const gpu = machine.gpus.find(known => known.device === figure.to || known.device === figure.from);
    return figure.max_sms || (gpu ? gpu.sms : 0);
  };
  const engine = figure => figure.copy === "engine";
  const kernels = figures.filter(figure => !engine(figure) && sms_of(figure) > 0);
  const steps = kernels.map(sms_of);
  const [low, high] = [Math.min(...steps), Math.max(...steps)];
  const series = [...grouped(kernels, figure => series_label(figure, ["direction", "order"]))].map(
      ([label, members]) => ({
        label, line: true, points: members.map(figure => point_of(figure, sms_of(figure))).sort(by_x),
      }));
  // No SM at all has no place on a logarithmic axis: a level line to compare with.
  for (const figure of kernels.length ? figures.filter(engine) : []) {
    series.push({label: `${figure.direction}, copy engine: no SM`, line: true, level: true,
                 points: [point_of(figure, low), point_of(figure, high)]});
  }
  const limits = limit_series(kernels, sms_of);
  return {kind: "rate", title, series: [...series, ...limits], steps: [...new Set(steps)],
          x: {label: "SMs it may use", text: String}};
}

function over_clients(title, figures) {
  const several = figure => Math.max(figure.clients, figure.servers);
  const kind = figure => {
    const way = figure.direction === "both" ? "both ways" : figure.direction;
    if (figure.servers > 1) return way + " from several servers";
    // As many processes as clients is how small numbers run anyway; beyond 8 it is a choice.
    return way + (figure.processes > 8 ? ", a process each" : "");
  };
  const series = [...grouped(figures, kind)].map(([label, members]) => ({
    label, line: true, points: members.map(figure => point_of(figure, several(figure))).sort(by_x),
  }));
  const steps = [...new Set(figures.map(several))];
  const limits = limit_series(figures, several);
  return {kind: "rate", title, series: [...series, ...limits], steps,
          x: {label: "clients (or servers) at once", text: String}};
}

// y: how rare it is to take longer; 50 %, 90 %, 99 %, 99.9 % are 0.3, 1, 2, 3.
function rarity(share, count) { return -Math.log10(Math.max(1 - share, 0.5 / count)); }

function over_time(title, figures) {
  const series = figures.filter(figure => figure.cdf.length > 1).map(figure => ({
    label: `${what_text(figure)}, ${size_text(figure)}`, line: true, smooth: true,
    points: figure.cdf.map(([share, seconds]) => ({
      x: seconds, y: rarity(share, figure.seconds.count),
      text: [`${Number((100 * share).toPrecision(5))} % within ${seconds_text(seconds)}`, figure.method],
    })),
  }));
  return {kind: "cdf", title, series, x: {label: "time", text: axis_seconds_text}};
}

// Sizes other than the first one's are named: bars of one name would be told apart by nothing else.
function of_limit(title, figures) {
  const bars = figures.filter(figure => figure.of_reference);
  const name = figure => size_text(figure) === size_text(bars[0]) ? what_text(figure)
                                                                  : `${what_text(figure)}, ${size_text(figure)}`;
  return {kind: "bars", title, bars: bars.map(figure => ({
    label: name(figure), value: 100 * figure.of_reference.median,
    interval: figure.of_reference.ci.map(end => 100 * end),
    text: [`${percent_text(figure.of_reference)} of ${figure.reference ? figure.reference.name : "the reference"}`,
           `${three_digits(figure.gb_per_s)} GB/s, ${figure.method}`],
  }))};
}

// The plots of one group: one for each pair of memories.
function plots_of(group, figures, machine) {
  const make = {
    throughput: of_limit, blocks: over_blocks, sms: over_sms, clients: over_clients,
    latency: over_time, posting: over_time, tcp: of_limit, ucx: of_limit,
    "tcp-small": over_time, "ucx-small": over_time,
  }[group];
  const plots = [...grouped(figures, pair_text)].map(([title, members]) => make(title, members, machine));
  return plots.filter(plot => plot.kind === "bars" ? plot.bars.length > 0
                                                   : plot.series.some(series => !series.limit));
}
