// Starts ReDoc. A file of its own, because the page's policy allows no script inside it.
window.addEventListener("load", () => {
  Redoc.init(
    document.body.dataset.openapi,
    { disableSearch: true, hideDownloadButton: false, nativeScrollbars: true },
    document.getElementById("ui"),
  );
});
