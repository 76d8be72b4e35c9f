/** Looking around: the front page, searching, a product, and the offer. */
import { picture } from "./art.js";
import { add, ask, euros, html, raw, say, tell } from "./shop.js";

const KINDS = { tea: "Tea & coffee", kitchen: "Kitchen", plants: "Plants", living: "Living" };
const PRICES = { 25: "up to €25", 50: "up to €50", 75: "up to €75" };
const OFFER = ["boston-fern", "watering-can", "reading-lamp"];

const stars = ({ rating, reviews }) =>
  html`<span class="stars"><span aria-hidden="true">★</span> <span class="unseen">rated</span> ${rating} <span class="pale">(${reviews}<span class="unseen"> reviews</span>)</span></span>`;

const card = (one, level = 2) => html`<li class="card">
  <a href="/product?id=${one.id}" class="tile ${one.kind}" tabindex="-1" aria-hidden="true">${raw(picture(one))}</a>
  ${one.new && html`<span class="badge">New</span>`}
  <h${level}><a href="/product?id=${one.id}">${one.name}</a></h${level}>
  <p class="row"><span class="price">${euros(one.price)}</span>${stars(one)}</p>
</li>`;

const list = (products, level) => html`<ul class="cards">${products.map((one) => card(one, level))}</ul>`;

/** The front page. */
export async function home() {
  tell("Home Viewed");
  const products = await ask("products");
  const body = html`
    <section class="hero">
      <div><p class="over">Autumn at home</p><h1>Good things for slow mornings</h1>
        <p>Kettles that sing, mugs that fit the hand, and plants that forgive. Twelve things, chosen with care.</p>
        <p class="buttons"><a class="button" href="/search">See everything</a><a class="button plain" href="/offer">The autumn offer</a></p></div>
      <div class="scene" aria-hidden="true"><span class="sun"></span>${["boston-fern", "copper-kettle", "morning-mug"].map((id) => raw(picture({ id, kind: "" })))}</div>
    </section>
    <section><h2>Well loved</h2>${list([...products].sort((a, b) => b.reviews - a.reviews).slice(0, 8), 3)}</section>
    <ul class="promises"><li><b>2 to 3 days</b> by post, or today by bicycle</li><li><b>30 days</b> to send it back</li><li><b>Real people</b> who answer</li></ul>`;
  return { title: "", body };
}

/** Products by words, kind and price. */
export async function search(wanted, go) {
  const [q, kind, price] = ["q", "kind", "price"].map((name) => wanted.get(name) ?? "");
  tell(price ? "Search Filtered" : q ? "Search Performed" : kind ? "Search Filtered" : "Catalog Viewed");
  const products = await ask(`products?${new URLSearchParams({ q, kind, price })}`);
  const pick = (name, all, chosen, label) => html`<fieldset><legend>${label}</legend>
    <label><input type="radio" name="${name}" value="" ${raw(chosen ? "" : "checked")}> All</label>
    ${Object.entries(all).map(([value, said]) => html`<label><input type="radio" name="${name}" value="${value}" ${raw(chosen === value ? "checked" : "")}> ${said}</label>`)}</fieldset>`;
  const what = q ? `“${q}”` : (KINDS[kind] ?? "Everything");
  const body = html`
    <h1>${what}</h1>
    <div class="browse">
      <form name="filters" class="filters">${pick("kind", KINDS, kind, "Kind")}${pick("price", PRICES, price, "Price")}</form>
      <section aria-label="Results"><p class="pale">${products.length} ${products.length === 1 ? "product" : "products"}</p>
        ${products.length ? list(products) : html`<p class="empty">Nothing fits. Try a simpler word, such as <a href="/search?q=mug">mug</a> or <a href="/search?q=plant">plant</a>.</p>`}</section>
    </div>`;
  const ready = (of) => {
    document.getElementById("words").value = q;
    of.querySelector(".filters").addEventListener("change", (event) => {
      const chosen = new FormData(event.currentTarget);
      const next = new URLSearchParams({ q, kind: chosen.get("kind"), price: chosen.get("price") });
      for (const [name, value] of [...next]) if (!value) next.delete(name);
      void go(`/search?${next}`);
    });
    say(`${products.length} products`);
  };
  return { title: what, body, ready };
}

/** One product. */
export async function product(wanted) {
  const one = await ask(`product?id=${encodeURIComponent(wanted.get("id") ?? "")}`);
  tell("Product Viewed");
  const body = html`
    <p class="crumbs"><a href="/search">Everything</a> / <a href="/search?kind=${one.kind}">${KINDS[one.kind]}</a></p>
    <article class="product">
      <div class="tile ${one.kind}">${raw(picture(one))}</div>
      <div><h1>${one.name}</h1><p>${stars(one)}</p><p class="lead">${one.short}</p>
        <ul class="facts">${one.facts.map((fact) => html`<li>${fact}</li>`)}</ul>
        <p class="price big">${euros(one.price)}</p>
        <p class="buttons"><button class="button" id="add">Put into the cart</button><button class="button plain" id="wish" aria-pressed="false">Save for later</button></p>
        <p class="pale">By post in 2 to 3 days. 30 days to send it back.</p>
        <details><summary>What others say (${one.reviews})</summary><blockquote>“As nice as on the picture, and it came quickly.”</blockquote><blockquote>“My second one. The first went to my sister.”</blockquote></details></div>
    </article>`;
  const ready = (of) => {
    of.querySelector("#add").addEventListener("click", (event) => {
      add(one);
      tell("Cart Added");
      event.currentTarget.textContent = "It is in the cart: one more?";
      say(`${one.name} is in the cart`);
    });
    of.querySelector("#wish").addEventListener("click", (event) => {
      const on = event.currentTarget.getAttribute("aria-pressed") !== "true";
      event.currentTarget.setAttribute("aria-pressed", String(on));
      event.currentTarget.textContent = on ? "Saved for later" : "Save for later";
      if (on) tell("Wishlist Added");
    });
    of.querySelector("details").addEventListener("toggle", (event) => event.currentTarget.open && tell("Reviews Viewed"));
  };
  return { title: one.name, body, ready };
}

/** The offer of the season. */
export async function offer() {
  tell("Promotion Viewed");
  const products = (await ask("products")).filter(({ id }) => OFFER.includes(id));
  const body = html`<section class="band"><p class="over">Until the end of November</p><h1>Light and green for the dark months</h1><p>Two of these three, and delivery is on us.</p></section>${list(products)}`;
  return { title: "Autumn offer", body };
}
