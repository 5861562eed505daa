--- style.lua
-- How the sandbox's page looks, in light and in dark.
-- Does not know what is shown.
-- SPDX-License-Identifier: MIT

return [==[
:root {
  color-scheme: light dark;
  --ground: #f6f7f9; --panel: #fff; --line: #d5d9e0; --text: #1b1f27; --faint: #5b6472;
  --valid: #1463b8; --refused: #b93815; --wash: #fdeee8; --chosen: #dbe9fb; --key: #6b3a9c;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #14171c; --panel: #1c2027; --line: #363d48; --text: #e6e9ee; --faint: #a2abb9;
    --valid: #6cb0f5; --refused: #ff9a76; --wash: #3a241d; --chosen: #24405f; --key: #c9a4f2;
  }
}
* { box-sizing: border-box; }
[hidden] { display: none !important; }
html, body { height: 100%; margin: 0; }
body {
  display: flex; flex-direction: column; background: var(--ground); color: var(--text);
  font: 14px/1.4 system-ui, sans-serif;
}
h1 { font-size: 17px; margin: 0; }
h2 { font-size: 14px; margin: 0; }
header, .top, .faults, form, footer { padding: 6px 14px; }
header, .faults, form, .bar { display: flex; gap: 8px; align-items: center; flex-wrap: wrap; }
.space { flex: 1; }
button, input, select {
  font: inherit; color: inherit; background: var(--panel); border: 1px solid var(--line);
  border-radius: 5px; padding: 3px 9px;
}
button { cursor: pointer; }
button:hover { border-color: var(--faint); }
button[aria-pressed=true] { background: var(--chosen); border-color: var(--valid); }
:focus-visible { outline: 2px solid var(--valid); outline-offset: 1px; }
#state { color: var(--faint); }
#state::before { content: "●"; color: var(--faint); margin-right: 5px; }
#state.live::before { color: var(--valid); }
#lost { margin: 0; padding: 8px 14px; background: var(--refused); color: var(--ground);
  font-weight: 600; }
.top { display: flex; gap: 24px; flex-wrap: wrap; align-items: stretch; }
#counts { display: flex; gap: 20px; margin: 0; flex-wrap: wrap; align-content: center; }
#counts dt { color: var(--faint); font-size: 12px; }
#counts dd { margin: 0; font-size: 22px; font-variant-numeric: tabular-nums; min-width: 4ch; }
#counts .valid dd { color: var(--valid); }
#counts .refused dd { color: var(--refused); }
figure { flex: 1; min-width: 280px; margin: 0; }
figcaption { color: var(--faint); font-size: 12px; display: flex; gap: 12px; }
#peak { margin-left: auto; }
.key::before { content: ""; display: inline-block; width: 9px; height: 9px; margin-right: 4px; }
.key.valid::before { background: var(--valid); }
.key.refused::before { background: var(--refused); }
#chart { width: 100%; height: 64px; display: block; border-bottom: 1px solid var(--line); }
#chart .valid { fill: var(--valid); }
#chart .refused { fill: var(--refused); }
.faults span { display: flex; gap: 6px; flex-wrap: wrap; align-items: center; }
#sample, #waiting { color: var(--faint); }
main { flex: 1; min-height: 160px; display: flex; gap: 10px; padding: 6px 14px; }
.side { flex: 3; min-width: 0; position: relative; }
#list {
  height: 100%; overflow-y: scroll; background: var(--panel); border: 1px solid var(--line);
  border-radius: 6px; overflow-anchor: none;
}
#rows { position: relative; }
.empty { position: absolute; top: 30%; left: 0; right: 0; text-align: center; color: var(--faint); }
.row {
  position: absolute; left: 0; right: 0; height: 26px; padding: 0 10px; display: flex; gap: 12px;
  align-items: center; cursor: default; white-space: nowrap;
}
.row > span { overflow: hidden; text-overflow: ellipsis; }
.row .time { color: var(--faint); font-variant-numeric: tabular-nums; flex: none; }
.row .mark { flex: none; width: 1.2em; text-align: center; font-weight: 700; color: var(--valid); }
.row .code { flex: 2; font-weight: 600; min-width: 6em; }
.row .who { flex: 2; }
.row .why { flex: 5; color: var(--refused); }
.row.bad { background: var(--wash); }
.row.bad .mark { color: var(--refused); }
.row[aria-selected=true] { background: var(--chosen); box-shadow: inset 3px 0 var(--valid); }
aside {
  flex: 2; min-width: 320px; background: var(--panel); border: 1px solid var(--line);
  border-radius: 6px; padding: 10px; display: flex; flex-direction: column; gap: 8px;
}
#body { overflow: auto; flex: 1; }
#body h3 { font-size: 12px; margin: 12px 0 4px; color: var(--faint); text-transform: uppercase; }
#body ul { margin: 0; padding: 0; list-style: none; }
#body li { background: var(--wash); border-left: 3px solid var(--refused); padding: 4px 8px;
  margin-bottom: 4px; overflow-wrap: anywhere; }
#body table { border-collapse: collapse; width: 100%; }
#body th { text-align: left; font-weight: 400; color: var(--faint); padding: 1px 10px 1px 0;
  vertical-align: top; white-space: nowrap; }
#body td { overflow-wrap: anywhere; width: 100%; }
pre, code { font: 12.5px/1.5 ui-monospace, monospace; }
pre { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; }
pre .line { display: block; }
pre .line.bad { background: var(--wash); box-shadow: inset 3px 0 var(--refused); }
pre .name { color: var(--key); }
pre .text { color: var(--valid); }
footer { color: var(--faint); font-size: 12px; }
kbd { border: 1px solid var(--line); border-radius: 3px; padding: 0 4px; margin-left: 8px;
  background: var(--panel); font: inherit; }
@media (max-width: 760px) {
  main { flex-direction: column; }
  aside { min-width: 0; }
}
]==]
