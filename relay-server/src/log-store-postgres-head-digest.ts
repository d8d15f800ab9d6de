import { HEAD_CHECKSUM_LABEL } from './log-store-head-checksum.ts'

/** SQL for the columns of a head. */
export interface HeadColumns {
  readonly space: string
  readonly size: string
  readonly time: string
  readonly latest: string
  readonly abandoned: string
  readonly note: string
}

/**
 * SQL for `headChecksum` of a row: heads are written by statements that take part of them from the row before, so only
 * the server knows all of it.
 * @param row name of the row, or what stands in its columns
 */
export function headDigest(row: string | HeadColumns): string {
  const { space, size, time, latest, abandoned, note } = typeof row === 'string' ? columnsOf(row) : row
  const numbers = [size, time, latest, abandoned].map(each => `int8send(${each})`)
  return `sha256(${[`convert_to('${HEAD_CHECKSUM_LABEL}', 'UTF8')`, "decode('00', 'hex')", space, ...numbers, note].join(' || ')})`
}

/** @param row its name in the statement */
export function columnsOf(row: string): HeadColumns {
  return {
    space: `${row}.space`,
    size: `${row}.size`,
    time: `${row}.time`,
    latest: `${row}.latest`,
    abandoned: `${row}.abandoned`,
    note: `${row}.note`,
  }
}
