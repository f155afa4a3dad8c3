// Counts without loading the page again, and keeps the list of members true. Without JavaScript the form does the first.
"use strict";

const element = (id) => document.getElementById(id);
let answeredBy = element("node").textContent;

async function ask(path) {
  const response = await fetch(path, { headers: { Accept: "application/json" }, cache: "no-store" });
  if (!response.ok) throw new Error(`${response.status}`);
  return response.json();
}

function show(members) {
  const list = element("members");
  list.replaceChildren(
    ...Object.entries(members).map(([name, state]) => {
      const item = document.createElement("li");
      item.dataset.name = name;
      item.dataset.state = state;
      item.classList.toggle("answered", name === answeredBy);
      const title = document.createElement("strong");
      title.textContent = name;
      const label = document.createElement("span");
      label.textContent = state;
      item.append(title, " ", label);
      return item;
    }),
  );
}

function mark() {
  for (const item of element("members").children) {
    item.classList.toggle("answered", item.dataset.name === answeredBy);
  }
}

document.querySelector("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = element("count");
  button.disabled = true;
  try {
    const answer = await ask("./");
    answeredBy = answer.node;
    element("counter").textContent = answer.counter;
    element("session").textContent = answer.session;
    element("balancer").textContent = answer.balancer ?? "none";
    element("node").textContent = answer.node;
    document.title = `${answer.counter} · php-cluster`;
    button.textContent = "Count once more";
    mark();
  } catch {
    button.textContent = "No answer: try again";
  } finally {
    button.disabled = false;
    button.focus();
  }
});

setInterval(async () => {
  try {
    show(await ask("members.php"));
  } catch {
    // The next round may be answered; what is shown stays until then.
  }
}, 2000);
