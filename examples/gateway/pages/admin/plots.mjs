// plots.mjs: a series as a small line, in SVG that the stylesheet colours; the same figures are in a table for who does not see it.
import { html, time } from '../layout.mjs';
import { clock, number, texts } from '../texts.mjs';

const t = texts.admin.plots;
const WIDTH = 300;
const HEIGHT = 80;

// series: [{ at, [name] }], oldest first
export function plot(series, name, title) {
	const values = series.map((sample) => sample[name]);
	const most = Math.max(...values);
	const [from, to] = [series[0].at, series.at(-1).at];
	const x = (at) => (to === from ? WIDTH : Math.round(((at - from) / (to - from)) * WIDTH * 10) / 10);
	const y = (value) => Math.round((HEIGHT - (most === 0 ? 0 : value / most) * (HEIGHT - 4)) * 10) / 10;
	const points = series.map((sample) => `${x(sample.at)},${y(sample[name])}`).join(' ');

	return html`<figure class="plot ${name}"><figcaption>${title}<span>${number(values.at(-1))} ${t.now} · ${number(most)} ${t.most}</span></figcaption>
<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none" role="img" aria-label="${t.summary(title, values.at(-1), most, from, to)}">
<line class="axis" x1="0" y1="${HEIGHT}" x2="${WIDTH}" y2="${HEIGHT}"/>
<polygon class="area" points="${x(from)},${HEIGHT} ${points} ${x(to)},${HEIGHT}"/><polyline class="line" points="${points}"/></svg>
<div class="ends"><span>${clock(from)}</span><span>${clock(to)}</span></div></figure>`;
}

// One row a minute is enough to read.
export function plotTable(series, titles) {
	const rows = series.filter((sample, i) => i === series.length - 1 || Math.floor(sample.at / 60_000) !== Math.floor(series[i + 1].at / 60_000));
	return html`<details><summary>${t.table}</summary><div class="scroll" role="region" aria-label="${t.title}" tabindex="0"><table>
<thead><tr><th scope="col">${t.time}</th>${Object.values(titles).map((title) => html`<th scope="col" class="number">${title}</th>`)}</tr></thead>
<tbody>${rows.map((sample) => html`<tr><td class="nowrap">${time(sample.at)}</td>${Object.keys(titles).map((name) => html`<td class="number">${number(sample[name])}</td>`)}</tr>`)}</tbody>
</table></div></details>`;
}
