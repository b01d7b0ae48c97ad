{
  for (const figure of document.querySelectorAll("figure[data-tips]")) {
    const tips = JSON.parse(figure.dataset.tips), box = figure.querySelector(".tip");
    figure.addEventListener("pointerleave", () => { box.hidden = true; });
    figure.addEventListener("pointermove", (event) => {
      const svg = event.target.closest("svg");
      box.hidden = !svg;
      if (!svg) return;
      const frame = svg.getBoundingClientRect(), x = (event.clientX - frame.left) * figure.dataset.width / frame.width;
      box.textContent = tips.reduce((a, b) => (Math.abs(b[0] - x) < Math.abs(a[0] - x) ? b : a))[1];
      box.style.left = Math.max(8, Math.min(event.clientX + 14, innerWidth - box.offsetWidth - 8)) + "px";
      box.style.top = Math.max(8, Math.min(event.clientY + 14, innerHeight - box.offsetHeight - 8)) + "px";
    });
  }
  const cards = document.querySelectorAll(".card");
  const mark = () => cards.forEach((card) => card.classList.toggle("cut", card.scrollWidth > card.clientWidth + 1));
  addEventListener("resize", mark);
  mark();
}
