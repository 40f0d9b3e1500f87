
// The table of a campaign: what it is made of is embedded once, and a page of it is drawn at a time.
{
  const data = JSON.parse(document.getElementById("content").textContent);
  const text = (place) => data.texts[place];
  const by = (id) => document.getElementById(id);
  const make = (name, words, attributes = {}) => {
    const element = document.createElement(name);
    if (words !== undefined && words !== null) element.textContent = words;
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  };
  const PAGE = 50, SMALL = 3;
  const short = (number) => {
    if (number === null || number === undefined) return "–";
    return String(Number(number.toPrecision(SMALL)));
  };

  const owners = data.owners.map(([name, formula, calculator, seed, melts, state, group, link, message]) =>
    ({ name, formula: text(formula), calculator: text(calculator), seed, melts, state: text(state),
       group: text(group), link, message, lines: [] }));
  const lines = data.lines.map(([owner, stage, T, species, verdict, D, low, high, bound, shown, sources,
    needs, law, volume, volumeNumber, length, doubts]) => {
    const line = { owner: owners[owner], stage: text(stage), T, species: text(species),
      verdict: text(verdict), D, low, high, bound, shown, sources, needs, volume, volumeNumber, length,
      doubts: text(doubts), E_a: data.laws[law][0], law: data.laws[law][1], D0: data.laws[law][2] };
    line.owner.lines.push(line);
    return line;
  });
  for (const owner of owners) {
    if (!owner.lines.length) {
      lines.push({ owner, stage: "", T: null, species: "", verdict: "", D: null, bound: null, shown: "",
        sources: "", needs: null, volume: "", volumeNumber: null, length: null, doubts: owner.message,
        E_a: null, law: "", D0: null });
    }
  }

  // A composition is one calculator's melts of the same, pooled where they are, and one species.
  const groups = new Map();
  for (const line of lines) {
    if (!line.species) continue;
    const key = line.owner.group + "\n" + line.species;
    if (!groups.has(key)) {
      groups.set(key, { owner: line.owner, species: line.species, all: [], pooled: false });
    }
    const group = groups.get(key);
    group.all.push(line);
    if (line.owner.melts > 1 && !group.pooled) { group.owner = line.owner; group.pooled = true; }
  }
  const compositions = [...groups.values()].map((group) => {
    const own = group.all.filter((line) => line.owner === group.owner && line.T !== null);
    own.sort((a, b) => a.T - b.T);
    const last = own[own.length - 1] || group.all[0];
    return { ...last, of: group, own, diffusive: own.filter((line) => line.D !== null).length,
      doubts: [...new Set(own.flatMap((line) => line.doubts.split(", ")))].filter(Boolean).join(", ") };
  });
  for (const line of [...lines, ...compositions]) {
    line.search = [line.owner.formula, line.owner.name, line.owner.calculator, line.stage, line.doubts,
      line.owner.message, line.owner.state].join(" ").toLowerCase();
  }

  const mark = (words) => {
    const kind = words === "diffusive" ? "yes" : words === "too short" ? "inconclusive" : "no";
    const element = make("span", "", { class: "mark " + kind });
    const icon = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    icon.setAttribute("class", "icon");
    icon.setAttribute("aria-hidden", "true");
    const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
    use.setAttribute("href", "#icon-" + kind);
    icon.append(use);
    element.append(icon, make("b", words));
    return element;
  };
  const what = (line) => {
    const cell = make("th", line.owner.formula, { scope: "row", title: line.owner.name });
    const of = [];
    if (line.owner.melts > 1) of.push(line.owner.melts + " melts pooled");
    else if (line.owner.seed !== null) of.push("seed " + line.owner.seed);
    if (!data.one_calculator) of.push(line.owner.calculator);
    cell.append(make("span", of.join(", "), { class: "sub" }));
    return cell;
  };
  const plain = (words, extra = "") => make("td", words, { class: "number " + extra });
  const withSub = (words, sub) => {
    const cell = plain(words);
    if (sub) cell.append(make("span", sub, { class: "sub" }));
    return cell;
  };
  const motion = (line) => {
    const cell = make("td");
    if (line.verdict) cell.append(mark(line.verdict));
    if (line.needs !== null) cell.append(make("span", "needs " + short(line.needs) + " ps", { class: "sub" }));
    return cell;
  };
  const sized = (line) => (line.D !== null ? line.D : line.bound !== null ? line.bound / 1e6 : null);
  const VIEWS = {
    lines: { rows: lines, noun: "lines", columns: [
      ["Composition", (line) => line.owner.formula, what],
      ["State", (line) => line.owner.state, (line) => make("td", line.owner.state, { class: "narrow-off" })],
      ["T (K)", (line) => line.T, (line) => plain(line.T === null ? "" : short(line.T))],
      ["Species", (line) => line.species, (line) => make("td", line.species)],
      ["D (cm²/s)", sized, (line) => withSub(line.shown, line.sources)],
      ["Motion", (line) => line.verdict, motion],
      ["Eₐ (eV)", (line) => line.E_a, (line) => plain(line.law)],
      ["V (Å³/atom)", (line) => line.volumeNumber, (line) => plain(line.volume, "optional")],
      ["Length (ps)", (line) => line.length, (line) => plain(line.length === null ? "" : short(line.length), "optional")],
      ["Doubts", (line) => line.doubts, (line) => make("td", line.doubts, { class: "doubts optional" })],
    ] },
    laws: { rows: compositions, noun: "compositions", columns: [
      ["Composition", (line) => line.owner.formula, what],
      ["Species", (line) => line.species, (line) => make("td", line.species)],
      ["Eₐ (eV)", (line) => line.E_a, (line) => plain(line.law)],
      ["D(T)", (line) => sized(line), (line) => { const cell = make("td"); cell.append(spark(line)); return cell; }],
      ["D at the highest T (cm²/s)", sized, (line) => withSub(line.shown, line.T === null ? "" : short(line.T) + " K")],
      ["Diffusive at", (line) => line.diffusive, (line) => plain(line.diffusive + " of " + line.own.length + " T")],
      ["V (Å³/atom)", (line) => line.volumeNumber, (line) => plain(line.volume, "optional")],
      ["Doubts", (line) => line.doubts, (line) => make("td", line.doubts, { class: "doubts optional" })],
    ] },
  };
  const OPTIONAL = new Set(["V (Å³/atom)", "Length (ps)", "Doubts"]);

  // Drawings: ln D over 1000/T, intervals as bars, bounds as arrows, the law as a line.
  const drawn = (name, attributes, words) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (words !== undefined) element.textContent = words;
    return element;
  };
  const INK = ["#0550ae", "#953800", "#116329", "#8250df", "#a40e26", "#57606a"];
  const spread = (points) => {
    const x = points.map((p) => 1000 / p.T);
    const y = points.flatMap((p) => (p.D !== null
      ? [p.D, p.low, p.high].filter((one) => one > 0) : p.bound > 0 ? [p.bound] : [])).map(Math.log10);
    const padded = (all, least) => {
      const low = Math.min(...all), high = Math.max(...all), pad = Math.max((high - low) * 0.08, least);
      return [low - pad, high + pad];
    };
    return y.length ? { x: padded(x, 0.04), y: padded(y, 0.1) } : null;
  };
  const spark = (line) => {
    const svg = drawn("svg", { viewBox: "0 0 144 35", class: "spark", role: "img",
      "aria-label": "D over 1/T of " + line.species + " in " + line.owner.formula });
    const range = spread(line.own);
    if (!range) return svg;
    const X = (T) => 4 + 136 * (1000 / T - range.x[0]) / (range.x[1] - range.x[0]);
    const Y = (D) => 31 - 27 * (Math.log10(D) - range.y[0]) / (range.y[1] - range.y[0]);
    const path = line.own.filter((p) => p.D > 0).map((p) => X(p.T) + "," + Y(p.D)).join(" ");
    svg.append(drawn("polyline", { points: path, fill: "none", stroke: "currentColor", "stroke-opacity": 0.5 }));
    for (const p of line.own) {
      if (p.D > 0) svg.append(drawn("circle", { cx: X(p.T), cy: Y(p.D), r: 2.6, fill: "currentColor" }));
      else if (p.D === null && p.bound > 0) {
        const x = X(p.T), y = Y(p.bound);
        svg.append(drawn("path", { d: `M${x - 3},${y}h6M${x},${y}v6m-2,-3l2,3l2,-3`, fill: "none", stroke: "currentColor" }));
      }
    }
    return svg;
  };
  const plot = (owner, species) => {
    const W = 460, H = 300, left = 62, right = 12, top = 14, bottom = 44;
    const svg = drawn("svg", { viewBox: `0 0 ${W} ${H}`, class: "law", role: "img",
      "aria-label": "D over 1/T of " + owner.formula });
    const others = owners.filter((one) => one.group === owner.group && one !== owner);
    const points = owner.lines.filter((line) => line.T !== null);
    const faint = others.flatMap((one) => one.lines).filter((line) => line.T !== null && line.D > 0 && line.species === species);
    const range = spread([...points, ...faint]);
    if (!range) return make("p", "No diffusivity and no bound to draw.", { class: "note" });
    const X = (T) => left + (W - left - right) * (1000 / T - range.x[0]) / (range.x[1] - range.x[0]);
    const Y = (D) => H - bottom - (H - top - bottom) * (Math.log10(D) - range.y[0]) / (range.y[1] - range.y[0]);
    const grey = { fill: "#57606a", "font-size": 11, "font-family": "system-ui, sans-serif" };
    svg.append(drawn("rect", { x: left, y: top, width: W - left - right, height: H - top - bottom, fill: "none", stroke: "#8c959f" }));
    const tens = [];
    for (let power = Math.ceil(range.y[0]); power <= range.y[1]; power += 1) tens.push(power);
    const marks = tens.length > 1 ? tens.map((power) => [power, "10" + raised(power)])
      : [0.15, 0.5, 0.85].map((part) => range.y[0] + part * (range.y[1] - range.y[0]))
        .map((log) => [log, Number(Math.pow(10, log)).toExponential(1).replace("-", "−")]);
    for (const [log, words] of marks) {
      const y = Y(Math.pow(10, log));
      svg.append(drawn("line", { x1: left, x2: W - right, y1: y, y2: y, stroke: "#d0d7de" }));
      svg.append(drawn("text", { x: left - 6, y: y + 4, "text-anchor": "end", ...grey }, words));
    }
    const seen = [];
    for (const T of [...new Set(points.map((line) => line.T))].sort((a, b) => b - a)) {
      if (seen.some((x) => Math.abs(x - X(T)) < 42)) continue;
      seen.push(X(T));
      svg.append(drawn("line", { x1: X(T), x2: X(T), y1: H - bottom, y2: H - bottom + 4, stroke: "#8c959f" }));
      svg.append(drawn("text", { x: X(T), y: H - bottom + 17, "text-anchor": "middle", ...grey }, short(T) + " K"));
    }
    svg.append(drawn("text", { x: (left + W - right) / 2, y: H - 8, "text-anchor": "middle", ...grey }, "temperature, evenly in 1/T"));
    svg.append(drawn("text", { x: 14, y: (H - bottom + top) / 2, "text-anchor": "middle", transform: `rotate(-90 14 ${(H - bottom + top) / 2})`, ...grey }, "D (cm²/s)"));
    for (const line of faint) svg.append(drawn("circle", { cx: X(line.T), cy: Y(line.D), r: 2.5, fill: "#8c959f", "fill-opacity": 0.6 }));
    [...new Set(points.map((line) => line.species))].forEach((symbol, number) => {
      const colour = INK[number % INK.length];
      const own = points.filter((line) => line.species === symbol);
      const { E_a, D0 } = own[0];
      if (E_a !== null && D0 > 0) {
        const kB = 8.617333262e-5, D = (T) => D0 * Math.exp(-E_a / (kB * T));
        const ends = [Math.min(...own.map((line) => line.T)), Math.max(...own.map((line) => line.T))];
        svg.append(drawn("line", { x1: X(ends[0]), x2: X(ends[1]), y1: Y(D(ends[0])), y2: Y(D(ends[1])), stroke: colour, "stroke-width": 1.3, "stroke-opacity": 0.7 }));
      }
      for (const line of own) {
        const x = X(line.T);
        if (line.D > 0) {
          if (line.low > 0) svg.append(drawn("line", { x1: x, x2: x, y1: Y(line.low), y2: Y(line.high), stroke: colour, "stroke-width": 1.6 }));
          svg.append(drawn("circle", { cx: x, cy: Y(line.D), r: 4, fill: colour }));
        } else if (line.D === null && line.bound > 0) {
          const y = Y(line.bound);
          svg.append(drawn("path", { d: `M${x - 5},${y}h10M${x},${y}v13m-4,-5l4,5l4,-5`, fill: "none", stroke: colour, "stroke-width": 1.5 }));
        }
      }
      svg.append(drawn("text", { x: W - right - 8, y: top + 16 + 15 * number, "text-anchor": "end", "font-size": 12, "font-weight": 600, "font-family": "system-ui, sans-serif", fill: colour }, symbol));
    });
    return svg;
  };
  const raised = (power) => [...String(power)].map((sign) => "⁰¹²³⁴⁵⁶⁷⁸⁹⁻"["0123456789-".indexOf(sign)]).join("");

  const detail = (line) => {
    const two = make("div", undefined, { class: "two" });
    const picture = make("div");
    if (line.owner.lines.length) {
      picture.append(plot(line.owner, line.species), make("p", "Bars: intervals of 68 %. Arrows: bounds of 95 %. "
        + "Lines: the laws." + (owners.some((one) => one !== line.owner && one.group === line.owner.group && one.lines.length)
          ? " Grey: " + line.species + " in other melts of the same" + (line.owner.melts > 1 ? "." : ", and in all together.") : ""), { class: "note" }));
    }
    const facts = make("dl");
    const say = (name, words) => { if (words) facts.append(make("dt", name), make("dd", words)); };
    say("case", line.owner.name);
    say("calculator", line.owner.calculator);
    say("state", line.owner.state);
    say("message", line.owner.message);
    say("stage", line.stage);
    say("error of D by", line.sources && line.sources + " cm²/s");
    for (const symbol of [...new Set(line.owner.lines.map((one) => one.species))]) {
      const own = line.owner.lines.filter((one) => one.species === symbol);
      say("Eₐ of " + symbol, own[0].law && own[0].law !== "–" ? own[0].law + " eV" : "");
    }
    say("doubts", line.doubts);
    const melts = line.owner.melts > 1 || line.of
      ? owners.filter((one) => one.group === line.owner.group && one.link) : [line.owner];
    for (const one of melts) {
      if (!one.link) continue;
      const place = make("dd");
      const words = one.link.endsWith(".html") ? "report" : "directory";
      place.append(make("a", one.seed === null ? words : words + " (seed " + one.seed + ")", { href: one.link }));
      facts.append(make("dt", "run"), place);
    }
    two.append(picture, facts);
    const row = make("tr", undefined, { class: "detail" });
    const cell = make("td", undefined, { colspan: VIEWS[state.view].columns.length });
    cell.append(two);
    row.append(cell);
    return row;
  };

  const filters = by("filters");
  const state = { view: "lines", page: 0, column: null, down: false, shown: lines };
  const options = (name, values, all) => {
    const select = filters.elements[name];
    select.append(make("option", all, { value: "" }));
    for (const value of values) select.append(make("option", value, { value }));
    select.parentElement.hidden = values.length < 2;
  };
  const different = (of) => [...new Set(lines.map(of))].filter((one) => one !== "" && one !== null);
  options("species", different((line) => line.species).sort(), "all");
  options("state", different((line) => line.owner.state), "all");
  options("verdict", different((line) => line.verdict), "all");
  options("T", different((line) => line.T).sort((a, b) => a - b), "all");
  options("calculator", different((line) => line.owner.calculator), "all");
  filters.elements.melts.parentElement.hidden = !owners.some((owner) => owner.melts > 1);
  if (data.species) filters.elements.species.value = data.species;

  const filter = () => {
    const asked = Object.fromEntries([...new FormData(filters)]);
    const view = VIEWS[asked.view], words = asked.text.toLowerCase().split(/\s+/).filter(Boolean);
    if (asked.view !== state.view) { state.view = asked.view; state.column = null; head(); }
    const T = asked.T === "" ? null : Number(asked.T);
    state.shown = view.rows.filter((line) =>
      (!asked.species || !line.species || line.species === asked.species)
      && (!asked.state || line.owner.state === asked.state)
      && (!asked.verdict || line.verdict === asked.verdict)
      && (T === null || line.T === T)
      && (!asked.calculator || line.owner.calculator === asked.calculator)
      && (!asked.melts || (asked.melts === "1") === (line.owner.melts === 1))
      && words.every((word) => line.search.includes(word)));
    sort();
    state.page = 0;
    draw();
  };
  const sort = () => {
    if (state.column === null) return;
    const key = VIEWS[state.view].columns[state.column][1], sign = state.down ? -1 : 1;
    const keyed = state.shown.map((line) => [key(line), line]);
    keyed.sort(([a], [b]) => {
      const none = (one) => one === null || one === undefined || one === "";
      if (none(a) || none(b)) return none(a) - none(b);  // what is not known comes last
      return sign * (typeof a === "number" ? a - b : a < b ? -1 : a > b ? 1 : 0);
    });
    state.shown = keyed.map(([, line]) => line);
  };
  const head = () => {
    const row = make("tr");
    VIEWS[state.view].columns.forEach(([name], number) => {
      const cell = make("th", undefined, { scope: "col", class: OPTIONAL.has(name) ? "optional" : name === "State" ? "narrow-off" : "" });
      const button = make("button", name, { type: "button", class: "sort" });
      button.addEventListener("click", () => {
        state.down = state.column === number ? !state.down : false;
        state.column = number;
        for (const other of row.children) other.removeAttribute("aria-sort");
        cell.setAttribute("aria-sort", state.down ? "descending" : "ascending");
        sort();
        state.page = 0;
        draw();
      });
      cell.append(button);
      row.append(cell);
    });
    by("table").tHead.replaceChildren(row);
  };
  const draw = () => {
    const view = VIEWS[state.view], pages = Math.max(1, Math.ceil(state.shown.length / PAGE));
    const body = document.createDocumentFragment();
    for (const line of state.shown.slice(state.page * PAGE, (state.page + 1) * PAGE)) {
      const row = make("tr", undefined, { class: "line", tabindex: 0, "aria-expanded": "false" });
      for (const [, , cell] of view.columns) row.append(cell(line));
      const turn = () => {
        const next = row.nextElementSibling;
        if (next && next.classList.contains("detail")) next.remove();
        else row.after(detail(line));
        row.setAttribute("aria-expanded", String(row.classList.toggle("open")));
      };
      row.addEventListener("click", turn);
      row.addEventListener("keydown", (event) => {
        if (event.key === "Enter" && event.target === row) turn();
      });
      body.append(row);
    }
    by("table").tBodies[0].replaceChildren(body);
    by("count").textContent = `${state.shown.length} of ${view.rows.length} ${view.noun}`;
    by("page").textContent = `page ${state.page + 1} of ${pages}`;
    by("before").disabled = state.page === 0;
    by("after").disabled = state.page >= pages - 1;
    by("before").parentElement.hidden = pages === 1;
  };
  by("before").addEventListener("click", () => { state.page -= 1; draw(); });
  by("after").addEventListener("click", () => { state.page += 1; draw(); });
  filters.addEventListener("input", filter);
  filters.addEventListener("submit", (event) => event.preventDefault());
  head();
  filter();
}
