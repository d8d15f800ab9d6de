import type { Environment } from '../environment.ts'
import { SealogError } from '../errors.ts'
import { idBytes } from '../ids.ts'
import type { Sync } from '../relay/log-messages.ts'
import type { ControlState } from '../verify/control-state.ts'
import type { LogView, VerifiedEntry } from '../verify/log.ts'
import { Admission } from './admission.ts'
import { Caretaker } from './caretaker.ts'
import { CatchUpAid } from './catch-up-aid.ts'
import { DEFAULT_CHANNEL_DEADLINES } from './channel-deadlines.ts'
import { Cosigner } from './cosigner.ts'
import type { SpaceKeys } from './epoch-secrets.ts'
import { HeardHeads } from './heard-heads.ts'
import { Inbound } from './inbound.ts'
import { KeptLog } from './kept-log.ts'
import { KeyKeeper } from './key-keeper.ts'
import { KeyWatch } from './key-watch.ts'
import { MissingBodies } from './missing-bodies.ts'
import { Openings } from './openings.ts'
import { Outbound } from './outbound.ts'
import type { PreparedControl } from './outbox.ts'
import { OwnAdmission } from './own-admission.ts'
import { Replication } from './replication.ts'
import { RetiredChains } from './retired-chains.ts'
import type { SealContext } from './seal.ts'
import { writeSnapshot } from './snapshot-writer.ts'
import { SpaceChannel } from './space-channel.ts'
import type { SpaceSyncOptions } from './space-sync-options.ts'
import { Standing, signerOf } from './standing.ts'
import { WriteGate } from './write-gate.ts'

/** What the parts tell the one whose life they serve. */
export interface SyncLife {
  /** Not closed, connected, authenticated, and every entry of the relay's log is here. */
  readonly isReady: () => boolean
  readonly onSync: (message: Sync) => Promise<void>
  readonly onFault: (error: SealogError) => void
  /** Keys came that were waited for: what they were for may go on. */
  readonly onKeys: () => Promise<void>
  /** The relay contradicted itself. */
  readonly onContradiction: (evidence: Uint8Array) => Promise<void>
  /** Appends a control entry that nobody insists on. */
  readonly append: (prepare: () => Promise<PreparedControl | undefined>) => Promise<number | undefined>
}

/** Everything that keeps one space in step with its relay. */
export interface SyncParts {
  readonly log: KeptLog
  readonly admission: Admission
  readonly standing: Standing
  readonly channel: SpaceChannel
  readonly openings: Openings
  readonly inbound: Inbound
  readonly heads: HeardHeads
  readonly outbound: Outbound
  readonly ownAdmission: OwnAdmission
  readonly gate: WriteGate
  readonly keeper: KeyKeeper
  readonly keyWatch: KeyWatch
  readonly caretaker: Caretaker
  readonly replication: Replication
  readonly retired: RetiredChains
  readonly missing: MissingBodies
  readonly aid: CatchUpAid
}

/** Who knows whom: each part is handed what it needs of the others, and nothing more. */
export function assembleSync(options: SpaceSyncOptions, life: SyncLife): SyncParts {
  const { space, store, environment, verifier, documents, problems, limits, onStore, onUpdate } = options
  const log: KeptLog = new KeptLog({ ...options, onStored: onStore })
  const control = (): ControlState | undefined => log.view.state?.control
  const keys = (): SpaceKeys => keeper.keys
  const admission: Admission = new Admission(options)
  const standing: Standing = new Standing(admission, control)
  const sealContext = (): SealContext => sealContextOf(log.view, keys(), standing, environment)

  // What the relay says
  const channel: SpaceChannel = new SpaceChannel({
    space,
    relay: options.view.relay,
    client: options.client,
    environment,
    deadlines: limits.deadlines ?? DEFAULT_CHANNEL_DEADLINES,
    opening: () => openings.next(),
    onSync: life.onSync,
    onOpenRefused: error => openings.refused(error),
    onReset: () => {
      keeper.forgetTries()
      outbound.reset()
      replication.reset()
      onUpdate()
    },
    onFault: life.onFault,
  })
  const keeper: KeyKeeper = new KeyKeeper({
    space: idBytes(space),
    channel,
    problems,
    environment,
    epochs: options.secrets.epochs,
    keep: epochs => admission.keepEpochs(epochs),
  })
  const keyWatch: KeyWatch = new KeyWatch({
    keeper,
    channel,
    standing,
    view: () => log.view,
    documents,
    replication: () => replication,
    environment,
    onRetried: life.onKeys,
  })
  const gatherKeys = (view: LogView, entries: readonly VerifiedEntry[]): Promise<void> => keyWatch.gather(view, entries)
  const replication: Replication = new Replication({
    channel,
    verifier,
    environment,
    documents,
    problems,
    replicate: options.replicate,
    limits: limits.skip,
    held: options.held,
    vouched: options.vouched,
    locked: options.locked,
    unchecked: options.unchecked,
    store,
    log,
    keys,
    self: () => ({ member: standing.member, device: standing.number }),
    gatherKeys,
    onEntries: options.onEntries,
    isJoining: options.secrets.admission !== undefined && options.secrets.admission.type !== 'genesis',
    isAdmitted: () => standing.secrets.admission === undefined,
    onRetired: document => retired.add(document),
    onAdopted: () => retired.carryOver(),
    onEvidence: evidence => void life.onContradiction(evidence),
    onUpdate,
  })
  const retired: RetiredChains = new RetiredChains({
    documents,
    problems,
    environment,
    state: () => log.view.state,
    refetch: document => replication.refetch(document),
  })
  const openings: Openings = new Openings({
    channel,
    admission,
    standing,
    log,
    replication: () => replication,
    store,
    problems,
    environment,
  })
  const inbound: Inbound = new Inbound({
    log,
    channel,
    verifier,
    documents,
    replication,
    freshness: options.freshness,
    problems,
    environment,
    keys,
    member: () => standing.member,
    gatherKeys,
    onContradiction: life.onContradiction,
    onRetired: document => retired.add(document),
    onKept: ({ state }, entries) => {
      if (state !== undefined) caretaker.noticed(state.control, entries)
    },
  })
  const { onContradiction } = life
  const heads: HeardHeads = new HeardHeads({
    log,
    channel,
    verifier,
    documents,
    problems,
    environment,
    onContradiction,
  })
  const missing: MissingBodies = new MissingBodies(channel, documents, environment)

  // What this replica says
  const outbound: Outbound = new Outbound({
    channel,
    documents,
    problems,
    environment,
    isReady: life.isReady,
    isKnown: document => replication.isKnown(document),
    // Asked again when it is made: a document may have been taken anew, unchecked, since it was found to be due.
    snapshot: async document =>
      replication.isKnown(document) && !replication.unchecked.has(document)
        ? writeSnapshot(sealContext(), documents, document)
        : undefined,
    mayWrite: () => gate.isOpen(),
    prepare: async () => ownAdmission.queue(),
    sealContext,
    onUpdate,
  })
  const gate: WriteGate = new WriteGate({
    log,
    standing,
    keys,
    documents,
    problems,
    environment,
    maxHeadAge: options.maxHeadAge,
    askForHead: () => void channel.barrier().catch(() => {}),
    onRetry: () => outbound.push(),
  })
  const ownAdmission: OwnAdmission = new OwnAdmission({
    admission,
    standing,
    control,
    keys,
    outbound,
    body: options.admissionBody,
    problems,
    environment,
    onStore,
  })
  const caretaker: Caretaker = new Caretaker({
    space,
    keeper,
    environment,
    problems,
    view: () => log.view,
    device: () => standing.device,
    isCurrent: life.isReady,
    append: life.append,
    forget: deletes => log.commit({ puts: [], deletes }),
    audits: options.audits,
  })
  const cosigner: Cosigner = new Cosigner({ channel, environment, ...limits.cosign })
  const aid: CatchUpAid = new CatchUpAid({
    log,
    standing,
    cosigner,
    outbound,
    replication,
    documents,
    environment,
    limits: limits.snapshot,
  })
  return {
    log,
    admission,
    standing,
    channel,
    openings,
    inbound,
    heads,
    outbound,
    ownAdmission,
    gate,
    keeper,
    keyWatch,
    caretaker,
    replication,
    retired,
    missing,
    aid,
  }
}

function sealContextOf(
  view: LogView,
  keys: SpaceKeys,
  standing: Standing,
  { random }: Pick<Environment, 'random'>,
): SealContext {
  const { speaker } = standing
  const device = standing.numberOf(speaker)
  if (device === undefined) throw new SealogError('ERR_INVITE', 'the log admits this device no more')
  return { view, keys, signer: signerOf(speaker), device, random }
}
