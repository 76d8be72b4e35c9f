/** Buying: the cart, delivery, payment, and thanks. */
import { picture } from "./art.js";
import { ask, cart, euros, Failed, fill, html, raw, say, tell, text, total, troubled } from "./shop.js";

const POST = 4.9;
const DELIVERY = "delivery";

const steps = (now) => html`<ol class="steps" aria-label="Checkout">${["Cart", "Delivery", "Payment"].map(
  (name, n) => html`<li ${raw(n === now ? 'aria-current="step"' : "")} class="${n < now ? "past" : ""}"><span>${n + 1}</span>${n < now ? html`<a href="${n ? "/checkout/delivery" : "/cart"}">${name}</a>` : name}</li>`,
)}</ol>`;

const sum = () => html`<aside class="sum" aria-label="Your order"><h2>Your order</h2>
  <ul>${cart().map(({ product, number }) => html`<li><span class="tile tiny ${product.kind}">${raw(picture(product))}</span><span>${product.name}${number > 1 && ` × ${number}`}</span><span>${euros(product.price * number)}</span></li>`)}</ul>
  <p class="row"><span>Delivery</span><span>${euros(POST)}</span></p>
  <p class="row total"><span>Total</span><span>${euros(total() + POST)}</span></p></aside>`;

const field = (name, label, more = "", hint = "") => html`<div class="field"><label for="${name}">${label}</label>
  <input id="${name}" name="${name}" ${raw(more)} aria-describedby="${name}-said"><p class="wrong" id="${name}-said">${hint && html`<span class="pale">${hint}</span>`}</p></div>`;

const nothing = { title: "Cart", body: html`<section class="oops"><h1>Your cart is empty</h1><p>It would like some company.</p><a class="button" href="/search">See everything</a></section>` };

/** The cart. */
export function cartPage(_, go) {
  tell("Cart Viewed");
  const lines = cart();
  if (!lines.length) return nothing;
  const line = ({ product, number }) => html`<li>
      <a href="/product?id=${product.id}" class="tile small ${product.kind}" tabindex="-1" aria-hidden="true">${raw(picture(product))}</a>
      <div><h2><a href="/product?id=${product.id}">${product.name}</a></h2><p class="pale">${euros(product.price)} each</p>
        <div class="stepper" role="group" aria-label="How many of ${product.name}"><button data-id="${product.id}" data-by="-1" aria-label="One less">−</button><output>${number}</output><button data-id="${product.id}" data-by="1" aria-label="One more">+</button></div></div>
      <p class="price">${euros(product.price * number)}</p></li>`;
  const body = html`<h1>Cart</h1>${steps(0)}
    <div class="two"><ul class="lines">${lines.map(line)}</ul>
    <div>${sum()}<a class="button wide" href="/checkout/delivery">To the checkout</a></div></div>`;
  const ready = (of) => {
    of.querySelector(".lines").addEventListener("click", ({ target }) => {
      const { id, by } = target.dataset;
      if (!id) return;
      fill(cart().map((one) => (one.product.id === id ? { ...one, number: one.number + Number(by) } : one)));
      const now = cart().find((one) => one.product.id === id);
      if (!now) return void go("/cart");
      const row = target.closest("li");
      row.querySelector("output").textContent = now.number;
      row.querySelector(":scope > .price").textContent = euros(now.product.price * now.number);
      of.querySelector(".sum").outerHTML = sum();
      say(`${now.number} of ${now.product.name}`);
    });
  };
  return { title: "Cart", body, ready };
}

/** Where it goes, and how. */
export async function delivery(_, go) {
  tell("Checkout Delivery");
  if (!cart().length) return nothing;
  const ways = await ask("delivery");
  const kept = JSON.parse(sessionStorage.getItem(DELIVERY) ?? "{}");
  const value = (name) => `value="${text(kept[name] ?? "")}" required`;
  const body = html`<h1>Delivery</h1>${steps(1)}
    <div class="two"><form name="delivery" class="sheet" novalidate>
      ${field("name", "Name", `autocomplete="name" data-private ${value("name")}`)}
      ${field("street", "Street and number", `autocomplete="street-address" data-private ${value("street")}`)}
      <div class="row">${field("postcode", "Postcode", `autocomplete="postal-code" inputmode="numeric" ${value("postcode")}`)}${field("town", "Town", `autocomplete="address-level2" ${value("town")}`)}</div>
      <fieldset><legend>How</legend>${ways.map((way, n) => html`<label class="choice"><input type="radio" name="way" value="${way.id}" ${raw(n ? "" : "checked")}><span><b>${way.name}</b> <span class="pale">${way.days}</span></span><span>${euros(way.price)}</span></label>`)}</fieldset>
      <button class="button wide">Continue to payment</button>
      <p class="pale small">You can come back to this. Any made-up address will do.</p>
    </form>${sum()}</div>`;
  const ready = (of) => {
    of.querySelector("form").addEventListener("submit", (event) => {
      event.preventDefault();
      const form = event.currentTarget;
      sessionStorage.setItem(DELIVERY, JSON.stringify(Object.fromEntries(new FormData(form))));
      const wrong = {};
      for (const name of ["name", "street", "postcode", "town"]) if (!form.elements[name].value.trim()) wrong[name] = "Please fill this in.";
      if (!wrong.postcode && troubled("refused-postcode")) wrong.postcode = "This is not a postcode.";
      if (!refuse(form, wrong)) void go("/checkout/payment");
    });
  };
  return { title: "Delivery", body, ready };
}

/** Marks what is wrong in a form, goes to the first of it, and says whether there is any. */
function refuse(form, wrong) {
  for (const input of form.querySelectorAll(".field input")) {
    const said = wrong[input.name];
    document.getElementById(`${input.name}-said`).textContent = said ?? "";
    if (said) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
  }
  const [first] = Object.keys(wrong);
  if (first) form.elements[first].focus();
  return first !== undefined;
}

/** How it is paid. */
export function payment(_, go) {
  tell("Checkout Payment");
  if (!cart().length) return nothing;
  const body = html`<h1>Payment</h1>${steps(2)}
    <div class="two"><form name="payment" class="sheet" novalidate>
      <fieldset class="ways"><legend>How would you like to pay?</legend>
        <label class="choice"><input type="radio" name="way" value="card" checked><span><b>Card</b> <span class="pale">Visa, Mastercard</span></span></label>
        <label class="choice"><input type="radio" name="way" value="invoice"><span><b>Invoice</b> <span class="pale">14 days</span></span></label>
        <label class="choice"><input type="radio" name="way" value="wallet"><span><b>Wallet</b> <span class="pale">PayPal, Apple Pay, Google Pay</span></span></label></fieldset>
      <div id="card">${field("number", "Card number", 'autocomplete="cc-number" inputmode="numeric" placeholder="4242 4242 4242 4242"', "Any digits will do; none are sent anywhere.")}
        <div class="row">${field("until", "Valid until", 'autocomplete="cc-exp" placeholder="11/30"')}${field("code", "Security code", 'autocomplete="cc-csc" inputmode="numeric" placeholder="123"')}</div></div>
      <div class="row end"><div class="field"><label for="voucher">Voucher</label><input id="voucher" name="voucher" autocomplete="off"></div><button type="button" class="button plain" id="apply">Apply</button></div>
      <p class="pale" id="voucher-said" role="status"></p>
      <p class="alert" role="alert" hidden></p>
      <button class="button wide" id="pay">Pay ${euros(total() + POST)}</button>
    </form>${sum()}</div>`;
  const ready = (of) => {
    const form = of.querySelector("form");
    form.addEventListener("change", () => (of.querySelector("#card").hidden = form.elements.way.value !== "card"));
    of.querySelector("#apply").addEventListener("click", () => {
      if (troubled("dead-button")) return;
      const given = form.elements.voucher.value.trim();
      document.getElementById("voucher-said").textContent = given ? `“${given}” is not a voucher of ours.` : "Type your voucher first.";
    });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (troubled("broken-checkout")) breakDown();
      void pay(form, go);
    });
  };
  return { title: "Payment", body, ready };
}

/** What a mistake of a programmer does: an error that nobody catches. The page tells of it, and goes on. */
function breakDown() {
  tell("Checkout Failed");
  const order = undefined;
  order.confirm();
}

async function pay(form, go) {
  const [button, alert] = [form.querySelector("#pay"), form.querySelector(".alert")];
  button.disabled = true;
  alert.hidden = true;
  try {
    const lines = cart().map(({ product, number }) => ({ product: product.id, number }));
    const order = await ask("orders", { lines, way: form.elements.way.value });
    fill([]);
    void go(`/checkout/done?order=${order.number}`);
  } catch (error) {
    if (!(error instanceof Failed)) throw error;
    alert.textContent = error.status === 402 ? error.message : "That did not work on our side. Nothing was charged.";
    alert.hidden = false;
    button.disabled = false;
  }
}

/** Thanks. */
export function done(wanted) {
  const body = html`<section class="oops"><p class="big" aria-hidden="true">✓</p><h1>Thank you</h1><p>Your order ${wanted.get("order")} is on its way, in a manner of speaking.</p><p class="buttons"><a class="button" href="/account">Your orders</a><a class="button plain" href="/">Look around</a></p></section>`;
  return { title: "Thank you", body };
}
