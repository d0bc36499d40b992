/** What scripts/demo.mjs is made of. */
export { readCast, writeCast } from './cast';
export { screensOf } from './screens';
export { svgOf } from './svg';
export { recordTour } from './tour';
