/** Largest frame in either direction, in bytes. */
export const MAX_FRAME_LENGTH: number = 1024 * 1024
/** Most entries in one message. */
export const MAX_BATCH_ENTRIES = 4096
/** Documents that a sparse replica may name when it opens a space. */
export const MAX_WANTS = 4096
/** Longest content of a mailbox, in bytes. */
export const MAX_MAILBOX_LENGTH: number = 256 * 1024
/** Longest token that comes with a genesis, in UTF-16 units. */
export const MAX_ADMISSION_LENGTH = 256
/** Longest advice when to try again, in milliseconds: it comes unsigned, and must not silence a replica for good. */
export const MAX_RETRY_AFTER: number = 60 * 60 * 1000
