--- html.lua
-- The skeleton of the sandbox's page.
-- Does not know what is put into it: names in double braces are replaced by page.lua.
-- SPDX-License-Identifier: MIT

return [==[
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Quick Audience sandbox</title>
<link rel="icon" href="data:,">
<style nonce="{{nonce}}">{{style}}</style>
</head>
<body>
<p id="lost" role="alert" hidden></p>
<header>
  <h1>Quick Audience sandbox</h1>
  <span id="state" role="status">connecting</span>
  <span class="space"></span>
  <button id="pause" type="button" aria-pressed="false" aria-keyshortcuts="p">Pause</button>
  <button id="reset" type="button">Reset</button>
</header>
<section class="top" aria-label="Counts">
  <dl id="counts">
    <div class="valid"><dt>valid events</dt><dd id="valid">0</dd></div>
    <div class="refused"><dt>refused events</dt><dd id="refused">0</dd></div>
    <div><dt>came twice</dt><dd id="duplicates">0</dd></div>
    <div><dt>requests</dt><dd id="requests">0</dd></div>
    <div><dt>events a second</dt><dd id="rate">0</dd></div>
  </dl>
  <figure>
    <figcaption>Events per minute, last 30 minutes
      <span class="key valid">valid</span> <span class="key refused">refused</span>
      <span id="peak"></span></figcaption>
    <svg id="chart" role="img" viewBox="0 0 600 100" preserveAspectRatio="none"
      aria-label="no events yet"></svg>
  </figure>
</section>
<section class="faults" aria-labelledby="faults-title">
  <h2 id="faults-title">Next call</h2>
  <span id="faults"></span>
  <button id="clear" type="button">Clear faults</button>
  <span id="waiting" role="status"></span>
</section>
<form id="filter" role="search" autocomplete="off">
  <label>event code <input id="code" type="search" aria-keyshortcuts="/" spellcheck="false"></label>
  <label>customer id <input id="customer" type="search" spellcheck="false"></label>
  <label>show <select id="validity">
    <option value="">all</option>
    <option value="true">valid</option>
    <option value="false">refused</option>
  </select></label>
  <span id="sample" role="status"></span>
</form>
<main>
  <div class="side">
    <div id="list" role="listbox" tabindex="0" aria-label="Events, the newest first"
      ><div id="rows" role="presentation"></div></div>
    <p id="empty" class="empty">Nothing has arrived. Point a client's <code>endpoint</code> at
      <code id="endpoint"></code> and report an event.</p>
    <p id="none" class="empty" hidden>Nothing that is kept passes the filter.</p>
  </div>
  <aside id="detail" aria-label="The opened event" tabindex="-1" hidden>
    <div class="bar"><h2 id="title"></h2><span class="space"></span>
      <button id="layout" type="button" aria-pressed="false">As sent</button>
      <button id="close" type="button">Close</button></div>
    <div id="body"></div>
  </aside>
</main>
<footer><kbd>/</kbd> filter <kbd>↑</kbd><kbd>↓</kbd> choose <kbd>Enter</kbd> open
  <kbd>Esc</kbd> close <kbd>p</kbd> pause</footer>
<script nonce="{{nonce}}">{{script}}</script>
</body>
</html>
]==]
