import { type BackedUpSpace, type BackupItem, backupItems } from './backup-content.ts'
import type { BackupJudge } from './backup-judge.ts'
import { readBackup } from './backup-reader.ts'
import type { RelayName } from './fsck-fold.ts'
import type { PlacedMailbox } from './log-store.ts'

/** Who goes through a backup. */
export interface BackupVisitor {
  begin(relay: RelayName): Promise<void>
  /** @returns undefined: its entries are passed over */
  space(backup: BackedUpSpace, relay: RelayName): Promise<BackupJudge | undefined>
  /** All of its entries were taken. */
  ended(backup: BackedUpSpace, judge: BackupJudge): Promise<void>
  refused(backup: BackedUpSpace, error: unknown): void
  mailboxes(page: readonly PlacedMailbox[], relay: RelayName): Promise<void>
}

const MAILBOXES_AT_ONCE = 64

/**
 * Hands out what a backup holds, in its order; what is wrong with one space ends only that one.
 * @throws SealogError where the file is no whole backup
 */
export async function visitBackup(path: string, visitor: BackupVisitor): Promise<void> {
  let relay: RelayName | undefined
  let open: { readonly backup: BackedUpSpace; readonly judge: BackupJudge } | undefined
  let mailboxes: PlacedMailbox[] = []

  async function visit(item: Exclude<BackupItem, { readonly type: 'begin' | 'mailbox' }>): Promise<void> {
    const backup = item.type === 'space' ? item : open?.backup
    try {
      if (item.type === 'space') {
        const judge = await visitor.space(item, relay as RelayName)
        open = judge && { backup: item, judge }
      } else if (item.type === 'entry') await open?.judge.take(item)
      else if (open !== undefined) {
        const { judge } = open
        await judge.end()
        await visitor.ended(open.backup, judge)
        open = undefined
      }
    } catch (error) {
      open = undefined
      visitor.refused(backup as BackedUpSpace, error)
    }
  }

  async function passMailboxes(): Promise<void> {
    if (mailboxes.length > 0) await visitor.mailboxes(mailboxes, relay as RelayName)
    mailboxes = []
  }

  for await (const item of backupItems(readBackup(path))) {
    if (item.type === 'begin') {
      relay = { name: item.name, key: item.key }
      await visitor.begin(relay)
    } else if (item.type === 'mailbox') {
      mailboxes.push(item)
      if (mailboxes.length >= MAILBOXES_AT_ONCE) await passMailboxes()
    } else await visit(item)
  }
  await passMailboxes()
}
