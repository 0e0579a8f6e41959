// Drawn stimuli on the page where units are found: what they look like, and who prefers them.
"use strict";

const RING_SIGMA_PX = 1.5; // of a ring's Gaussian profile
const WHITE = [1, 1, 1];
const radians = (degrees) => (degrees * Math.PI) / 180;

/* By stimulus: its dials, each with the field of the number that it asks for; the field that says how far
   the best stimulus drives a unit above the bare background; and the selectivity for the angle. */
const STIMULI = {
  stripes: { dials: { "ask-orientation": "orientation_deg", "ask-period": "period_px" }, rise: "stripes_rise", selectivity: "orientation_selectivity", angle: "ask-orientation" },
  hue: { dials: { "ask-hue": "hue_deg" }, rise: "hue_rise", selectivity: "hue_selectivity", angle: "ask-hue" },
  ring: { dials: { "ask-ring": "ring_px" }, rise: "ring_rise" },
};

/* Patterns within -1..1, from pixels to the right of the middle and below it. Each is the first phase, or
   the bright one, of the stimuli that units were shown. */
const PATTERNS = {
  stripes({ "ask-orientation": orientation, "ask-period": period }) {
    const [sin, cos] = [Math.sin(radians(orientation)), Math.cos(radians(orientation))];
    return (x, y, aperture) => aperture * Math.sin((2 * Math.PI * (x * sin + y * cos)) / period);
  },
  hue: () => (x, y, aperture) => aperture,
  ring: ({ "ask-ring": radius }) => (x, y) => Math.exp(-0.5 * ((Math.hypot(x, y) - radius) / RING_SIGMA_PX) ** 2),
};

/* A window that is 1 up to halfway to the border and falls to 0 there. */
function apertureAt(x, y, size) {
  const share = Math.hypot(x, y) / (size / 2);
  return Math.cos((Math.PI / 2) * Math.min(1, Math.max(0, 2 * share - 1))) ** 2;
}

/* The pixels of a stimulus: red, green, blue and opacity of each, in 0..255. */
function stimulusPixels(name, dials, { size_px: size, background }) {
  const pattern = PATTERNS[name](dials);
  const colour = name === "hue" ? [0, 120, 240].map((peak) => Math.cos(radians(dials["ask-hue"] - peak))) : WHITE;
  const contrast = Math.min(...background.map((level) => Math.min(level, 1 - level)));
  const pixels = new Uint8ClampedArray(4 * size * size).fill(255);
  const middle = (size - 1) / 2;
  for (let row = 0; row < size; row++) {
    for (let column = 0; column < size; column++) {
      const x = column - middle, y = row - middle;
      const level = contrast * pattern(x, y, apertureAt(x, y, size));
      for (let nth = 0; nth < 3; nth++) pixels[4 * (row * size + column) + nth] = 255 * (background[nth] + level * colour[nth]);
    }
  }
  return pixels;
}

function drawStimulus(canvas, name, dials, stimuli) {
  const size = stimuli.size_px;
  canvas.getContext("2d").putImageData(new ImageData(stimulusPixels(name, dials, stimuli), size, size), 0, 0);
}

/* Of several sizes the one that is nearest in proportion. */
const nearestSize = (sizes, wanted) => sizes.reduce((best, size) => (Math.abs(Math.log(size / wanted)) < Math.abs(Math.log(best / wanted)) ? size : best));

/* Which values of a column prefer what a dial says: angles at most a step away, and the nearest size. */
function preferring(dial, wanted, stimuli) {
  if (dial === "ask-period" || dial === "ask-ring") {
    const nearest = nearestSize(dial === "ask-ring" ? stimuli.radii_px : stimuli.periods_px, wanted);
    return (size) => size === nearest;
  }
  const [turn, step] = dial === "ask-hue" ? [360, stimuli.hue_step] : [180, stimuli.orientation_step];
  return (angle) => {
    const apart = (((angle - wanted) % turn) + turn) % turn;
    return Math.min(apart, turn - apart) <= step;
  };
}
