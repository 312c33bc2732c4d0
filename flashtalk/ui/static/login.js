// Gradio's page that asks for the password knows two answers: taken, and wrong. Here it tells of all others.
(() => {
  const WORDS = {
    429: ["Too many tries; wait a minute.", "尝试次数过多，请稍等一分钟。"],
    lost: ["The server does not answer; try again.", "服务器无响应，请重试。"],
  };
  const TOLD = [200, 400];
  const ask = window.fetch.bind(window);

  function tell(words) {
    document.querySelector(".ft-not-taken")?.remove();
    if (!words) return;
    const line = document.createElement("p");
    line.className = "ft-not-taken";
    line.setAttribute("role", "alert");
    line.textContent = words[document.documentElement.lang === "zh" ? 1 : 0];
    document.querySelector("input[type=password]")?.closest(".form")?.before(line);
  }

  window.fetch = async (what, how) => {
    const isLogin = how?.method === "POST" && new URL(what.url ?? what, document.baseURI).pathname.endsWith("/login");
    if (!isLogin) return ask(what, how);
    const answer = await ask(what, how).catch(() => Response.error());
    tell(TOLD.includes(answer.status) ? null : (WORDS[answer.status] ?? WORDS.lost));
    return answer;
  };
})();
