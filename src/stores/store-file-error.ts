/** A store file that cannot be used. The message names it and the mend. */
export class StoreFileError extends Error {}
