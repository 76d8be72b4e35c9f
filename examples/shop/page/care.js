/** Taking care: signing in, orders and returns, and help. */
import { ask, euros, html, say, signIn, tell, visit } from "./shop.js";

/** Orders, and who is signed in. */
export async function account() {
  const { customer } = visit();
  tell("Account Viewed");
  const orders = await ask("orders");
  const body = html`<h1>${customer ? `Hello, ${customer.name.split(" ")[0]}` : "Orders and returns"}</h1>
    <div class="two"><section aria-label="Orders">
      ${orders.length ? html`<ul class="orders">${orders.map(order)}</ul>` : html`<p class="empty">No orders in this visit. <a href="/search">See everything</a></p>`}
    </section>
    <aside class="sum"><h2>${customer ? customer.name : "Not signed in"}</h2><p class="pale">${customer ? customer.about : "Visitors can order, too."}</p>
      <p class="buttons">${customer ? html`<button class="button plain" id="out">Sign out</button>` : html`<a class="button" href="/account/sign-in">Sign in</a>`}</p></aside></div>`;
  const ready = (of, show) => {
    of.querySelector("#out")?.addEventListener("click", () => void signIn(null).then(show));
    of.querySelector(".orders")?.addEventListener("click", async ({ target }) => {
      if (!target.dataset.number) return;
      const { status } = await ask("returns", { number: target.dataset.number });
      target.closest("li").querySelector(".status").textContent = status;
      target.remove();
      say("A label for sending it back is on its way");
    });
  };
  return { title: "Account", body, ready };
}

const order = ({ number, total, items, status }) => html`<li><div><h2>${number}</h2><p class="pale">${items.join(", ")}</p></div>
  <p class="price">${euros(total)}</p><p class="status">${status}</p>${status === "on its way" && html`<button class="button plain" data-number="${number}">Send it back</button>`}</li>`;

/** Who would you like to be? */
export function signInAs(_, go) {
  const body = html`<h1>Who would you like to be?</h1><p class="lead">These customers are made up, and need no password.</p>
    <ul class="people">${visit().customers.map(({ id, name, about }) => html`<li><button data-id="${id}"><span class="face" aria-hidden="true">${name[0]}</span><span><b>${name}</b><span class="pale">${about}</span></span></button></li>`)}</ul>`;
  const ready = (of) =>
    of.querySelector(".people").addEventListener("click", async ({ target }) => {
      const id = target.closest("button")?.dataset.id;
      if (!id) return;
      await signIn(id);
      void go("/account");
    });
  return { title: "Sign in", body, ready };
}

const ANSWERS = [
  ["When does it come?", "By post in two to three days; by bicycle today, if you live in the city."],
  ["How do I send something back?", "Within 30 days: under Orders and returns you find “Send it back”."],
  ["How can I pay?", "By card, by invoice, or from a wallet. You can change your mind until the last step."],
];

/** Answers, and asking. */
export function help(_, go) {
  const body = html`<h1>How can we help?</h1>
    <div class="two"><form name="help" class="sheet"><label for="text">Ask in your own words</label>
      <textarea id="text" name="text" rows="4" maxlength="2000" required placeholder="Can I pay with PayPal?"></textarea>
      <button class="button">Ask</button><p class="pale small">An agent answers from what the shop knows, on this page; what it does not know goes to a person.</p></form>
    <section aria-label="Answers">${ANSWERS.map(([asked, answer]) => html`<details><summary>${asked}</summary><p>${answer}</p></details>`)}</section></div>`;
  const ready = (of) =>
    of.querySelector("form").addEventListener("submit", async (event) => {
      event.preventDefault();
      await ask("questions", { text: new FormData(event.currentTarget).get("text") });
      void go("/help/asked");
    });
  return { title: "Help", body, ready };
}

/** The question is on its way. */
export function question() {
  const body = html`<section class="oops"><h1>We are on it</h1><p>The answer appears on this page in a moment; you may go on meanwhile.</p><a class="button" href="/">Look around</a></section>`;
  return { title: "Asked", body };
}
