// What the search finds. Loaded when it is first used.
"use strict";

const MAX_HITS = 12;
const MAX_CLASSES = 6; // as long as there are units to show as well
const LEAST_TYPED = 3; // letters of a word in which one typo is forgiven
const LEAST_INSIDE = 4; // and that are found in the middle of longer words: fewer are in many
const UNIT_NOUNS = ["unit", "channel", "neuron"];
const CONV_NOUNS = ["conv", "convolution"];

const FILLERS = ["a", "and", "for", "in", "of", "the", "with"]; // "unit 12 of conv1"
// How well one word that was typed fits a text: the lower, the better. A typo is worse than any number of other words.
const FIT = { word: 0, beginning: 1, inside: 2, typo: 1000, none: Infinity };
// Where it fits: each is worse than the one before, but better than a worse fit.
const PLACES = 3;
const OWN = 0, SYNONYM = 1, ABOVE = 2;
const rankOf = (fit, place) => PLACES * fit + place;
const isTypo = ({ rank }) => rank >= rankOf(FIT.typo, OWN);

const fold = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
const wordsIn = (text) => fold(text).split(/[^\p{L}\p{N}]+/u).filter(Boolean);

/* Words ------------------------------------------------------------------------------------- */

/* Whether one letter was left out, added, exchanged, or two neighbours were swapped. */
function isOneTypo(typed, word) {
  const longer = typed.length - word.length;
  if (Math.abs(longer) > 1) return false;
  let at = 0;
  while (at < typed.length && typed[at] === word[at]) at++;
  if (longer) return longer > 0 ? typed.slice(at + 1) === word.slice(at) : typed.slice(at) === word.slice(at + 1);
  const isSwapped = typed[at] === word[at + 1] && typed[at + 1] === word[at];
  return typed.slice(at + 1) === word.slice(at + 1) || (isSwapped && typed.slice(at + 2) === word.slice(at + 2));
}

function fitOf(typed, words) {
  let best = FIT.none;
  for (const word of words) {
    if (word === typed || `${word}s` === typed || word === `${typed}s`) return FIT.word;
    if (word.startsWith(typed)) best = Math.min(best, FIT.beginning);
    else if (word.endsWith(typed) || (typed.length >= LEAST_INSIDE && word.includes(typed))) best = Math.min(best, FIT.inside);
    else if (typed.length >= LEAST_TYPED && isOneTypo(typed, word)) best = Math.min(best, FIT.typo);
  }
  return best;
}

/* An index with the words of its texts, which are taken apart once. */
function prepared(index) {
  index.prepared ??= {
    labels: index.labels.map(wordsIn),
    words: (index.words ?? []).map(wordsIn),
    names: (index.words ?? []).map(firstWords), // without synonyms
    tastes: (index.tastes ?? []).map(wordsIn),
    shownTastes: (index.tastes ?? []).map(firstWords),
    questions: (index.questions ?? []).map(([text]) => wordsIn(text)),
    above: (index.above ?? []).map((_, nth) => allAbove(index.above, nth)),
    layers: index.layers.map(([name]) => [...wordsIn(name), ...(name === index.classifier ? ["classifier"] : [])]),
  };
  return index.prepared;
}

const firstWords = (text) => wordsIn(text.split("|")[0]);

function allAbove(above, nth, found = new Set()) {
  for (const each of above[nth]) {
    if (found.has(each)) continue;
    found.add(each);
    allAbove(above, each, found);
  }
  return [...found];
}

/* The ranks of words that were typed, one after the other; infinite if one of them fits nowhere. */
const rankOfAll = (typed, rank) => typed.reduce((sum, _, nth) => sum + rank(nth), 0);

/* Hits -------------------------------------------------------------------------------------- */

const unitHit = (folder, layer, index, text) => ({
  text,
  note: `${folder}${layer}:${index}`,
  path: folder + pathOf(pathSettings.page, layer, index),
});

const layerHit = (folder, name, note) => ({
  text: name,
  note: folder ? `${folder} ${note}` : note,
  path: folder + pathOf(pathSettings.layer, name),
});

function classHit(index, number) {
  const layer = index.layers.find(([name]) => name === index.classifier);
  return layer && isIn(layer[2], number) ? unitHit(index.folder, layer[0], number, index.labels[number] ?? `Class ${number}`) : null;
}

function findClasses(index, typed) {
  const { labels, words, above } = prepared(index);
  const fits = typed.map((word) => words.map((each) => fitOf(word, each)));
  const hits = [];
  labels.forEach((label, number) => {
    const thing = (index.classes ?? [])[number] ?? -1;
    const rank = rankOfAll(typed, (nth) => {
      const own = rankOf(fitOf(typed[nth], label), OWN);
      if (thing < 0) return own;
      const kinds = above[thing].map((each) => fits[nth][each]).filter((fit) => fit === FIT.word || fit === FIT.typo);
      return Math.min(own, rankOf(fits[nth][thing], SYNONYM), rankOf(Math.min(FIT.none, ...kinds), ABOVE));
    });
    const hit = rank < Infinity ? classHit(index, number) : null;
    if (hit) hits.push({ ...hit, rank });
  });
  return hits.sort((a, b) => a.rank - b.rank);
}

/* Units by their names and by what they prefer; words may also be of their layer's name. */
function findNamed(index, typed) {
  if (!index.names) return [];
  const { words, tastes, layers, names, shownTastes } = prepared(index);
  const nameRanks = typed.map((word) => words.map((each, thing) => rankOfName(word, each, names[thing])));
  const tasteRanks = typed.map((word) => tastes.map((each) => rankOf(fitOf(word, each), SYNONYM)));
  const hits = [];
  index.layers.forEach(([layer, , runs], place) => {
    const layerRanks = typed.map((word) => rankOf(fitOf(word, layers[place]) === FIT.word ? FIT.word : FIT.none, SYNONYM));
    const named = index.names[place], liked = index.tastes_of[place], certain = index.fits[place];
    const n = Math.max(named.length, liked.length);
    for (let number = 0; number < n; number++) {
      const thing = (named[number] ?? 0) - 1, taste = (liked[number] ?? 0) - 1;
      if (thing < 0 && taste < 0) continue;
      const { rank, isNamed, isLiked } = rankOfUnit(thing, taste, nameRanks, tasteRanks, layerRanks);
      if (rank === Infinity || !(isNamed || isLiked) || !isIn(runs, number)) continue;
      const nMore = (isNamed ? names[thing] : shownTastes[taste]).length - typed.length; // "cat" before "big cat"
      hits.push({ layer, number, thing, taste, isNamed, isLiked, rank, nMore, certainty: certain[number] ?? 0 });
    }
  });
  // Of units that only prefer what was asked for, how sure their names are says nothing.
  const sureness = ({ isNamed, certainty }) => (isNamed ? certainty : 0);
  hits.sort((a, b) => a.rank - b.rank || a.nMore - b.nMore || sureness(b) - sureness(a));
  return hits.slice(0, MAX_HITS).map((hit) => ({ ...unitHit(index.folder, hit.layer, hit.number, textOf(index, hit)), rank: hit.rank }));
}

/* How well all words fit a unit: each by its name, by what it prefers, or by the name of its layer. */
function rankOfUnit(thing, taste, nameRanks, tasteRanks, layerRanks) {
  let rank = 0, isNamed = false, isLiked = false;
  for (let nth = 0; nth < layerRanks.length && rank < Infinity; nth++) {
    const byName = nameRanks[nth][thing] ?? Infinity, byTaste = tasteRanks[nth][taste] ?? Infinity;
    isNamed ||= byName <= byTaste && byName < Infinity;
    isLiked ||= byTaste < byName;
    rank += Math.min(byName, byTaste, layerRanks[nth]);
  }
  return { rank, isNamed, isLiked };
}

function rankOfName(typed, words, name) {
  const fit = fitOf(typed, words);
  return fit < Infinity ? rankOf(fit, fitOf(typed, name) === fit ? OWN : SYNONYM) : Infinity;
}

/* "hound, AUC 0.97; red": the name of a unit, and what it prefers if that was asked for, which is first if it alone was. */
function textOf(index, { thing, taste, isNamed, isLiked, certainty }) {
  const name = thing < 0 ? "" : index.words[thing].split("|")[0];
  const auc = name && certainty ? `, AUC\u00a0${(certainty / 100).toFixed(2)}` : "";
  const liked = isLiked ? index.tastes[taste].split("|")[0] : "";
  return (isNamed ? [name + auc, liked] : [liked, name + auc]).filter(Boolean).join("; ");
}

/* Ready questions of the page that finds units in all layers. */
function findQuestions(index, typed) {
  return prepared(index).questions.flatMap((words, nth) => {
    const [text, hash] = index.questions[nth];
    const rank = rankOfAll(typed, (each) => rankOf(fitOf(typed[each], words), OWN));
    return rank < Infinity ? [{ text, note: `${index.folder} find in all layers`.trim(), path: index.folder + pathSettings.find + hash, rank }] : [];
  });
}

function findLayers(index, typed) {
  const { layers } = prepared(index);
  const hits = [];
  index.layers.forEach(([name, size], place) => {
    const text = fold(name);
    const rank = rankOfAll(typed, (nth) => rankOf(text.includes(typed[nth]) ? FIT.word : fitOf(typed[nth], layers[place]), OWN));
    if (rank < Infinity) hits.push({ ...layerHit(index.folder, name, `${size} units`), rank });
  });
  return hits.sort((a, b) => a.rank - b.rank);
}

/* "layer 2", "conv 12", "unit 12", "class 3", "layer1.0.conv2 12". */
function findNumbered(index, names, number) {
  const joined = names.join("");
  if (joined === "class") return [classHit(index, number)].filter(Boolean);
  const isNoun = UNIT_NOUNS.includes(joined), isConv = CONV_NOUNS.includes(joined);
  const called = isNoun ? [] : layersCalled(index, names, number);
  const counted = called.length ? [] : layerCounted(index, joined, number);
  const units = [];
  index.layers.forEach(([name, , runs], place) => {
    const text = fold(name);
    const isMeant = isNoun || names.every((word) => text.includes(word)) || (isConv && (index.kinds ?? [])[place] === "conv");
    if (isMeant && isIn(runs, number)) units.push(unitHit(index.folder, name, number, unitText(index, name, number)));
  });
  return [...called, ...counted, ...units];
}

/* "unit 12 of conv1" and "conv1, unit 12" as "conv1 12". */
function numberLast(typed) {
  const at = typed.findIndex((word, nth) => UNIT_NOUNS.includes(word) && /^\d+$/.test(typed[nth + 1] ?? ""));
  return at < 0 || typed.length === 2 ? typed : [...typed.toSpliced(at, 2), typed[at + 1]];
}

const unitText = (index, layer, number) =>
  (layer === index.classifier && index.labels[number]) || `Unit ${number}`;

/* Layers in whose names the number follows the word: layer2.0.conv1, features.12. */
function layersCalled(index, names, number) {
  const called = [`${names.join("")}${number}`, `${names.join(".")}.${number}`];
  return index.layers
    .filter(([name]) => called.some((each) => `.${fold(name)}.`.includes(`.${each}.`)))
    .map(([name, size]) => layerHit(index.folder, name, `${size} units`));
}

/* The layer with this number, counted from 1 among all layers or convolutions. */
function layerCounted(index, noun, number) {
  const kinds = index.kinds ?? [];
  const places = index.layers.map((_, place) => place).filter((place) => noun === "layer" || kinds[place] === "conv");
  if ((noun !== "layer" && !CONV_NOUNS.includes(noun)) || places[number - 1] === undefined) return [];
  const counted = `${noun === "layer" ? "layer" : "convolution"} ${number} of ${places.length}`;
  return [layerHit(index.folder, index.layers[places[number - 1]][0], counted)];
}

function findIn(index, typed) {
  const last = typed.at(-1), names = typed.slice(0, -1);
  const classes = findClasses(index, typed), units = findNamed(index, typed);
  const others = [findQuestions(index, typed), findLayers(index, typed)];
  if (!/^\d+$/.test(last)) return [...others, classes, units];
  const numbered = names.length ? findNumbered(index, names, Number(last)) : [classHit(index, Number(last))].filter(Boolean);
  return [numbered.map((hit) => ({ ...hit, rank: 0 })), ...others, classes, units];
}

/* What is found in one index; where something fits as it was typed, nothing that fits with a typo. */
function hitsIn(index, typed) {
  const lists = findIn(index, typed);
  const fitting = lists.map((list) => list.filter((hit) => !isTypo(hit)));
  const kept = fitting.some((list) => list.length) ? fitting : lists;
  const [classes, units] = kept.slice(-2);
  return [...kept.slice(0, -2).flat(), ...classes.slice(0, Math.max(MAX_CLASSES, MAX_HITS - units.length)), ...units];
}

function findHits(indices, query) {
  const parts = fold(query).split(/[\s:,/'’"“”-]+/);
  const typed = parts.map((part) => part.replace(/^[._]+|[._]+$/g, "")).filter(Boolean);
  if (!typed.length) return [];
  const meant = numberLast(typed.filter((word) => !FILLERS.includes(word)));
  const hits = inTurn(indices.map((index) => hitsIn(index, meant.length ? meant : typed)));
  const paths = new Set();
  return hits.filter(({ path }) => !paths.has(path) && paths.add(path)).slice(0, MAX_HITS);
}

/* The first of each list, then the second of each, and so on. */
function inTurn(lists) {
  const longest = Math.max(...lists.map((list) => list.length));
  return Array.from({ length: longest }, (_, nth) => lists.flatMap((list) => list.slice(nth, nth + 1))).flat();
}
