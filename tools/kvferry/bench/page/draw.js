// Plots into charts. Colours are not the only difference between series: their points or dashes differ
// too. Each colour has a contrast of at least 4.5 with its ground.

const LIGHT = {
  text: "#1b1f26", soft: "#555d6b", grid: "#e3e6eb", limit: "#4a4f58",
  series: ["#0b62a8", "#b84300", "#00735a", "#8f3f7c", "#6e5400", "#4b4fc4", "#a3263b", "#2d6b1f"],
};
const DARK = {
  text: "#e7eaef", soft: "#a4adbb", grid: "#2c323c", limit: "#c3c9d3",
  series: ["#6cb4f0", "#ff9b5c", "#4fd0a5", "#e39bd0", "#e5c558", "#a5a8ff", "#ff8a9a", "#9bd982"],
};
// For lines without points.
const DASHES = [[], [8, 3], [3, 3], [10, 3, 3, 3]];
const POINTS = ["circle", "rect", "triangle", "rectRot", "cross", "star", "rectRounded", "crossRot"];

// The 95 % intervals, which Chart.js has no element for.
const whiskers = {
  id: "whiskers",
  afterDatasetsDraw(chart) {
    chart.data.datasets.forEach((dataset, index) => {
      if (!dataset.intervals || !chart.isDatasetVisible(index)) return;
      const context = chart.ctx, along = dataset.along || "y", scale = chart.scales[along];
      context.save();
      context.strokeStyle = dataset.whiskerColor;
      context.lineWidth = 1.5;
      chart.getDatasetMeta(index).data.forEach((point, at) => {
        const interval = dataset.intervals[at];
        if (!interval) return;
        const [a, b] = interval.map(end => scale.getPixelForValue(end));
        const across = along === "y" ? point.x : point.y;
        const spot = (position, aside) => along === "y" ? [across + aside, position] : [position, across + aside];
        context.beginPath();
        for (const [from, to] of [[spot(a, 0), spot(b, 0)], [spot(a, -4), spot(a, 4)], [spot(b, -4), spot(b, 4)]]) {
          context.moveTo(...from);
          context.lineTo(...to);
        }
        context.stroke();
      });
      context.restore();
    });
  },
};

// 100 %: as fast as the reference.
const full_line = {
  id: "full_line",
  afterDatasetsDraw(chart) {
    const {x} = chart.scales, {top, bottom} = chart.chartArea, context = chart.ctx;
    context.save();
    context.strokeStyle = chart.options.theme.limit;
    context.lineWidth = 1.5;
    context.setLineDash([6, 4]);
    context.beginPath();
    context.moveTo(x.getPixelForValue(100), top);
    context.lineTo(x.getPixelForValue(100), bottom);
    context.stroke();
    context.restore();
  },
};

// Chart.js's own, with the dashes that it leaves out beside points.
function legend_labels(chart) {
  const labels = Chart.defaults.plugins.legend.labels.generateLabels(chart);
  return labels.map(label => ({...label, lineWidth: 2, lineDash: chart.data.datasets[label.datasetIndex].borderDash}));
}

function base_options(theme) {
  return {
    theme, responsive: true, maintainAspectRatio: false, animation: false, normalized: true,
    color: theme.text, interaction: {mode: "nearest", intersect: false},
    plugins: {
      legend: {position: "bottom", align: "start",
               labels: {color: theme.text, usePointStyle: true, boxHeight: 8, padding: 10, generateLabels: legend_labels}},
      tooltip: {callbacks: {}},
    },
  };
}

function axis(theme, label, more) {
  return {title: {display: label !== "", text: label, color: theme.soft}, ticks: {color: theme.soft},
          grid: {color: theme.grid, borderColor: theme.grid}, ...more};
}

function line_datasets(plot, theme) {
  let next = 0;
  return plot.series.map(series => {
    const index = series.limit ? 0 : next++;
    const color = series.limit ? theme.limit : theme.series[index % theme.series.length];
    const bare = series.limit || series.smooth || series.level;
    // The first is drawn on top: what lies below it is larger, so that equal lines are seen to be two.
    const below = Math.min(index, 3);
    return {
      label: series.label, data: series.points, showLine: series.line,
      borderColor: color, backgroundColor: color, whiskerColor: color,
      borderWidth: series.limit || series.level ? 1.6 : series.smooth ? 2.2 : 1.6 + 0.9 * below,
      borderDash: series.limit ? [6, 4] : series.level ? [2, 3] : series.smooth ? DASHES[index % DASHES.length] : [],
      pointStyle: bare ? "line" : POINTS[index % POINTS.length],
      pointRadius: bare ? 0 : 3.5 + below, pointBorderWidth: 2, pointHoverRadius: bare ? 4 : 5 + below,
      intervals: series.points.map(point => series.level ? null : point.interval),
    };
  });
}

function x_scale(plot, theme) {
  const xs = plot.series.flatMap(series => series.points.map(point => point.x));
  const [low, high] = [Math.min(...xs), Math.max(...xs)];
  const steps = plot.steps || SMALL_STEPS.filter(step => step >= low && step <= high);
  const of_time = plot.kind === "cdf";
  return axis(theme, plot.x.label, {
    type: "logarithmic", min: low / (of_time ? 1.05 : 1.15), max: high * (of_time ? 1.05 : 1.15),
    ticks: {color: theme.soft, autoSkip: true, maxRotation: 0, autoSkipPadding: 8, callback: plot.x.text},
    afterBuildTicks: scale => {
      scale.ticks = (of_time ? time_steps(low, high) : [...steps].sort((a, b) => a - b)).map(value => ({value}));
    },
  });
}

// 1, 2, 5 of every decade, or more where the axis spans less than one.
function time_steps(low, high) {
  const digits = high / low > 8 ? [1, 2, 5] : high / low > 3 ? [1, 1.5, 2, 3, 4, 5, 7] :
                 [1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 9];
  const steps = [];
  for (let decade = Math.floor(Math.log10(low)); decade <= Math.ceil(Math.log10(high)); ++decade) {
    for (const digit of digits) steps.push(digit * 10 ** decade);
  }
  return steps.filter(step => step >= low / 1.05 && step <= high * 1.05);
}

function y_scale(plot, theme) {
  if (plot.kind === "rate") return axis(theme, "GB/s", {beginAtZero: true, grace: "4%"});
  const shares = new Map([[0, "0 %"], [rarity(0.5, 1), "50 %"], [1, "90 %"], [2, "99 %"], [3, "99.9 %"],
                          [4, "99.99 %"], [5, "99.999 %"], [6, "99.9999 %"]]);
  return axis(theme, "transfers done within this time", {
    min: 0, ticks: {color: theme.soft, callback: value => shares.get(value) || ""},
    afterBuildTicks: scale => {
      scale.ticks = [...shares.keys()].filter(value => value <= scale.max).map(value => ({value}));
    },
  });
}

function line_config(plot, theme) {
  const options = base_options(theme);
  options.scales = {x: x_scale(plot, theme), y: y_scale(plot, theme)};
  if (plot.kind === "cdf") options.plugins.legend.labels.pointStyleWidth = 30;  // to show the dashes
  options.plugins.tooltip.callbacks = {
    title: items => items.length ? `${items[0].dataset.label}: ${plot.x.text(items[0].parsed.x)}` : "",
    label: item => item.raw.text,
  };
  return {type: "scatter", data: {datasets: line_datasets(plot, theme)}, options, plugins: [whiskers]};
}

function bar_config(plot, theme) {
  const options = base_options(theme);
  options.indexAxis = "y";
  options.interaction = {mode: "index", axis: "y", intersect: false};
  const top = 1.05 * Math.max(100, ...plot.bars.map(bar => bar.interval[1]));
  const step = top < 250 ? 25 : 10 ** Math.floor(Math.log10(top / 2));
  options.plugins.legend.display = false;
  options.scales = {
    x: axis(theme, "% of the reference", {min: 0, max: top, afterBuildTicks: scale => {
      scale.ticks = Array.from({length: Math.floor(top / step) + 1}, (_, i) => ({value: i * step}));
    }}),
    y: axis(theme, "", {grid: {display: false, borderColor: theme.grid}, ticks: {color: theme.text, autoSkip: false}}),
  };
  options.plugins.tooltip.callbacks = {label: item => plot.bars[item.dataIndex].text};
  const color = theme.series[0];
  const dataset = {
    data: plot.bars.map(bar => bar.value), backgroundColor: color + "99", borderColor: color, borderWidth: 1,
    barThickness: 16, intervals: plot.bars.map(bar => bar.interval), along: "x", whiskerColor: theme.text,
  };
  return {type: "bar", data: {labels: plot.bars.map(bar => bar.label), datasets: [dataset]}, options,
          plugins: [whiskers, full_line]};
}

function height_of(plot) {
  if (plot.kind === "bars") return 70 + 27 * plot.bars.length;
  return 300 + 22 * plot.series.length;
}

// All charts, drawn anew whenever the colours change: by the system, or for paper.
class Charts {
  constructor() {
    this.drawn = [];
    this.dark = window.matchMedia("(prefers-color-scheme: dark)");
    this.dark.addEventListener("change", () => this.draw());
    window.addEventListener("beforeprint", () => this.draw(LIGHT));
    window.addEventListener("afterprint", () => this.draw());
  }
  add(canvas, plot) { this.drawn.push({canvas, plot, chart: null}); }
  draw(theme = this.dark.matches ? DARK : LIGHT) {
    Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
    for (const entry of this.drawn) {
      if (entry.chart) entry.chart.destroy();
      const config = entry.plot.kind === "bars" ? bar_config(entry.plot, theme) : line_config(entry.plot, theme);
      entry.chart = new Chart(entry.canvas, config);
    }
  }
}
