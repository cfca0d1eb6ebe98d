// What the pages behind mailed links do: take the secret out of the address bar, and send it, once the reader
// asks for that, to the API that lies beside this page. Nothing is put into the page but as text.
"use strict";

(() => {
  const page = document.querySelector("main");
  const [title, status, alert, form] = ["title", "status", "alert", "form"].map((id) => document.getElementById(id));
  const [password, again, show] = ["password", "again", "show"].map((id) => document.getElementById(id));
  const button = form.querySelector("button");

  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  history.replaceState(null, "", location.pathname);
  // Another link opened in this very tab changes the fragment alone: start afresh with it.
  addEventListener("hashchange", () => location.reload());

  const post = (path, body) =>
    fetch(new URL(path, document.baseURI), {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "application/json" },
      body: JSON.stringify(body),
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
    });

  function complain(...lines) {
    status.textContent = "";
    alert.replaceChildren(
      ...lines.filter(Boolean).map((line) => {
        const paragraph = document.createElement("p");
        paragraph.textContent = line;
        return paragraph;
      }),
    );
  }

  async function reasons(answer) {
    const wait = Number(answer.headers.get("Retry-After"));
    const later = wait > 0 ? `Please try again in ${wait === 1 ? "a second" : `${wait} seconds`}.` : "";
    try {
      const problem = await answer.json();
      const errors = (problem.errors ?? []).map((error) => `The ${error.pointer.split("/").pop().replaceAll("_", " ")} ${error.message}.`);
      return [String(problem.detail), ...errors, later];
    } catch {
      return [`The server answered with status ${answer.status}.`, later || "Please try again later."];
    }
  }

  // Sends, and says what went wrong; tells whether it went well. A link that is no good closes the form.
  async function attempt(path, body) {
    alert.replaceChildren();
    page.setAttribute("aria-busy", "true");
    button.disabled = true;
    try {
      const answer = await post(path, body);
      if (answer.ok) return true;
      if (answer.status === 400) {
        form.hidden = true;
        complain("This link no longer works: it was used already, it is too old, or a newer one took its place.", page.dataset.again);
      } else complain(...(await reasons(answer)));
    } catch {
      complain("The server cannot be reached. Check your connection and try again.");
    } finally {
      page.removeAttribute("aria-busy");
      button.disabled = false;
    }
    return false;
  }

  function unfit() {
    if (!password) return null;
    const length = [...password.value.normalize("NFKC")].length;
    const least = Number(password.dataset.min);
    if (length < least) return [password, `The password needs at least ${least} characters; this one has ${length}.`];
    if (password.value !== again.value) return [again, "The two passwords are not the same."];
    return null;
  }

  function mark(field) {
    for (const input of [password, again]) input?.setAttribute("aria-invalid", String(input === field));
    field?.focus();
  }

  function finish() {
    form.remove();
    document.title = title.textContent = page.dataset.doneTitle;
    status.textContent = page.dataset.done;
    title.focus();
  }

  async function submit(event) {
    event.preventDefault();
    if (button.disabled) return;
    const fault = unfit();
    mark(fault?.[0]);
    if (fault) return complain(fault[1]);
    const body = password ? { token, new_password: password.value } : { token };
    if (await attempt(page.dataset.send, body)) finish();
    else if (!form.hidden) (password ?? button).focus();
  }

  async function begin() {
    if (!token) return complain("This page is opened by a link in a mail, and the link is not complete.", page.dataset.again);
    if (page.dataset.check) {
      status.textContent = "Looking at your link …";
      const good = await attempt(page.dataset.check, { token });
      status.textContent = "";
      if (!good) return;
    }
    form.hidden = false;
    form.addEventListener("submit", submit);
    show?.addEventListener("change", () => {
      for (const input of [password, again]) input.type = show.checked ? "text" : "password";
    });
    password?.focus();
  }

  begin();
})();
