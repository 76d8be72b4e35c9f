"use strict";

// Follows /console/overview.json once a second and draws it. All text is set as text, never as HTML.

const WORDS = {
  killed: "switched off",
  opted_out: "opted out",
  no_consent: "no consent",
  in_conversation: "in conversation",
  cooldown: "cooldown",
  fatigue: "dismissed before",
  budget: "over budget",
  spacing: "too soon after another",
  quiet_hours: "quiet hours",
  low_confidence: "not confident",
  outranked: "another policy won",
  policy_holdout: "policy holdout",
  global_holdout: "global holdout",
};
const SHADES = {
  cooldown: "c-3", spacing: "c-4", outranked: "c-5", budget: "c-6", in_conversation: "c-2",
  fatigue: "c-1", opted_out: "c-1", no_consent: "c-1", killed: "c-1",
  quiet_hours: "c-6", low_confidence: "c-4",
};
const ORDER = ["intervene", "policy_holdout", "global_holdout", ...Object.keys(SHADES)];
const NUMBER = new Intl.NumberFormat("en");
const byId = (id) => document.getElementById(id);

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function shade(key) {
  if (key === "intervene") return "c-intervene";
  return key.endsWith("_holdout") ? "c-holdout" : SHADES[key] || "c-3";
}

function label(key) {
  return key === "intervene" ? "intervened" : WORDS[key] || key;
}

function parts(policy) {
  const counts = {};
  for (const [outcome, reasons] of Object.entries(policy.by_outcome)) {
    for (const [reason, number] of Object.entries(reasons)) {
      const key = outcome === "intervene" ? "intervene" : reason;
      counts[key] = (counts[key] || 0) + number;
    }
  }
  return ORDER.filter((key) => counts[key]).map((key) => [key, counts[key]]);
}

function drawLegend(policies) {
  const present = new Set(policies.flatMap((policy) => parts(policy).map(([key]) => key)));
  byId("legend").replaceChildren(...ORDER.filter((key) => present.has(key)).map((key) => {
    const item = element("li");
    item.append(element("span", `swatch ${shade(key)}`), label(key));
    return item;
  }));
}

function drawPolicies(policies) {
  drawLegend(policies);
  byId("no-policies").hidden = policies.length > 0;
  const most = Math.max(1, ...policies.map((policy) => policy.total));
  const list = byId("policies");
  const rows = new Map([...list.children].map((row) => [row.dataset.policy, row]));
  const sorted = [...policies].sort((a, b) => b.total - a.total || a.policy.localeCompare(b.policy));
  const wanted = sorted.map((policy) => {
    const row = rows.get(policy.policy) || newRow(policy.policy);
    const split = parts(policy);
    row.querySelector(".policy-text").textContent =
      split.map(([key, number]) => `${NUMBER.format(number)} ${label(key)}`).join(" · ");
    drawBar(row.querySelector(".bar"), split, most);
    return row;
  });
  if (wanted.some((row, index) => list.children[index] !== row)) list.replaceChildren(...wanted);
}

function newRow(name) {
  const row = element("li");
  row.dataset.policy = name;
  const head = element("div", "policy-head");
  head.append(element("span", "policy-name", name), element("span", "policy-text"));
  const bar = element("div", "bar");
  bar.setAttribute("aria-hidden", "true");
  row.append(head, bar);
  return row;
}

function drawBar(bar, split, most) {
  const old = new Map([...bar.children].map((piece) => [piece.dataset.key, piece]));
  const pieces = split.map(([key, number]) => {
    const piece = old.get(key) || element("span", shade(key));
    piece.dataset.key = key;
    piece.title = `${NUMBER.format(number)} ${label(key)}`;
    piece.style.width = `${(100 * number) / most}%`;
    return piece;
  });
  if (pieces.some((piece, index) => bar.children[index] !== piece)) bar.replaceChildren(...pieces);
}

function drawSpark(recent) {
  const span = 60;
  const peak = Math.max(1, ...recent.map((sample) => sample.per_second));
  const points = recent
    .filter((sample) => sample.ago <= span)
    .map((sample) => [600 * (1 - sample.ago / span), 86 - (80 * sample.per_second) / peak]);
  const line = points.map(([x, y], index) => `${index ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
  const [area, stroke] = byId("spark").querySelectorAll("path");
  stroke.setAttribute("d", line);
  area.setAttribute("d", points.length
    ? `${line}L${points[points.length - 1][0].toFixed(1)} 90L${points[0][0].toFixed(1)} 90Z` : "");
  byId("peak").textContent = recent.length ? `peak ${NUMBER.format(Math.round(peak))}` : "";
}

function drawNewest(newest) {
  byId("no-newest").hidden = newest.length > 0;
  const list = byId("newest");
  const rows = new Map([...list.children].map((row) => [row.dataset.id, row]));
  list.replaceChildren(...newest.map((shown) => {
    const row = rows.get(shown.id) || newCard(shown);
    const chip = row.querySelector(".chip");
    chip.dataset.state = shown.state;
    chip.textContent = shown.reason ? `${shown.state}: ${shown.reason}` : shown.state;
    return row;
  }));
}

function newCard(shown) {
  const row = element("li");
  row.dataset.id = shown.id;
  const mode = shown.mode === "live" ? "" : `, ${shown.mode}`;
  const meta = element("p", "meta");
  const time = element("time", "", `${shown.at.slice(0, 10)} ${shown.at.slice(11, 19)} UTC`);
  time.dateTime = shown.at;
  meta.append(time, ` · customer ${shown.customer.slice(0, 12)}${mode}`);
  row.append(element("p", "what", shown.policy), element("span", "chip"), element("p", "why", shown.explanation), meta);
  return row;
}

function draw(overview) {
  const { events, interventions } = overview;
  byId("rate").textContent = NUMBER.format(Math.round(events.per_second));
  byId("accepted").textContent = NUMBER.format(events.accepted);
  byId("decisions").textContent = NUMBER.format(overview.decisions);
  byId("interventions").textContent = NUMBER.format(interventions.total);
  byId("pending").textContent = NUMBER.format(events.pending_batches);
  drawSpark(events.recent);
  drawPolicies(overview.policies);
  drawNewest(interventions.newest);
  if (overview.settled) say("settled", "Live, everything decided");
  else say("live", "Live, deciding");
}

function say(state, text) {
  byId("status").dataset.state = state;
  if (byId("status-text").textContent !== text) byId("status-text").textContent = text;
}

let paused = false;

async function follow() {
  if (!paused && !document.hidden) {
    try {
      const answer = await fetch("/console/overview.json", { signal: AbortSignal.timeout(5000) });
      if (!answer.ok) throw new Error(answer.statusText);
      draw(await answer.json());
    } catch {
      say("lost", "The server does not answer; trying again");
    }
  }
  setTimeout(follow, 1000);
}

byId("pause").addEventListener("click", () => {
  paused = !paused;
  byId("pause").textContent = paused ? "Resume" : "Pause";
  if (paused) say("paused", "Paused");
});
follow();
