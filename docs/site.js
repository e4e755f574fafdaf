// What scrolls in a box of its own is reached by the keyboard; what does not scroll is passed by.
"use strict";

(() => {
  const boxes = document.querySelectorAll(".table-wrapper, .drawn, pre");

  function reach() {
    for (const box of boxes) {
      if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
      else box.removeAttribute("tabindex");
    }
  }

  window.addEventListener("resize", reach);
  reach();
})();
