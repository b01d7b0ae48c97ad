{
  const fields = [...document.querySelectorAll(".filters [name]")], items = [...document.querySelectorAll("[data-date]")];
  const count = document.querySelector("#count");
  const keeps = (item, field) => {
    const wanted = field.value;
    if (!wanted) return true;
    if (field.name === "from") return item.dataset.date >= wanted;
    if (field.name === "to") return item.dataset.date <= wanted;
    if (field.name === "contender") return JSON.parse(item.dataset.contender).includes(wanted);
    return item.dataset[field.name] === wanted;
  };
  const apply = () => {
    for (const item of items) item.hidden = !fields.every((field) => keeps(item, field));
    count.textContent = `${items.filter((item) => !item.hidden).length} of ${items.length} results`;
  };
  const keep = () => {
    const chosen = fields.filter((field) => field.value).map((field) => [field.name, field.value]);
    history.replaceState(null, "", "#" + new URLSearchParams(chosen));
    apply();
  };
  const restore = () => {
    const chosen = new URLSearchParams(location.hash.slice(1));
    for (const field of fields) field.value = chosen.get(field.name) ?? "";
    apply();
  };
  for (const field of fields) field.addEventListener("change", keep);
  document.querySelector("#reset").addEventListener("click", () => {
    for (const field of fields) field.value = "";
    keep();
  });
  addEventListener("hashchange", restore);
  restore();
}
