// Judges what Sealog wrote with code that is not Sealog's: Go's sumdb/note and sumdb/tlog. Reads cases as JSON from the
// file that its argument names, and prints a verdict for each: it knows nothing about which should hold.
package main

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"sort"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type cases struct {
	Notes   []noteCase   `json:"notes"`
	Logs    []logCase    `json:"logs"`
	Records []recordCase `json:"records"`
	Trees   []treeCase   `json:"trees"`
}

type noteCase struct {
	Note      []byte     `json:"note"`
	Verifier  string     `json:"verifier"`
	Cosigners []cosigner `json:"cosigners"`
}

type cosigner struct {
	KeyName   string `json:"name"`
	PublicKey []byte `json:"key"`
}

type logCase struct {
	Leaves [][]byte `json:"leaves"`
	Root   []byte   `json:"root"`
}

type recordCase struct {
	Size  int64    `json:"size"`
	Root  []byte   `json:"root"`
	Index int64    `json:"index"`
	Leaf  []byte   `json:"leaf"`
	Proof [][]byte `json:"proof"`
}

type treeCase struct {
	Size1 int64    `json:"size1"`
	Root1 []byte   `json:"root1"`
	Size2 int64    `json:"size2"`
	Root2 []byte   `json:"root2"`
	Proof [][]byte `json:"proof"`
}

type verdicts struct {
	// Names of the verified signatures, sorted and joined; empty where the note is refused.
	Notes   []string `json:"notes"`
	Logs    []bool   `json:"logs"`
	Records []bool   `json:"records"`
	Trees   []bool   `json:"trees"`
}

// C2SP tlog-cosignature: the signature type of cosignature/v1.
const cosignatureV1 = 0x04

func (c cosigner) Name() string { return c.KeyName }

func (c cosigner) KeyHash() uint32 {
	sum := sha256.Sum256(append([]byte(c.KeyName+"\n"), append([]byte{cosignatureV1}, c.PublicKey...)...))
	return binary.BigEndian.Uint32(sum[:])
}

func (c cosigner) Verify(text, signature []byte) bool {
	if len(c.PublicKey) != ed25519.PublicKeySize || len(signature) != 8+ed25519.SignatureSize {
		return false
	}
	time := binary.BigEndian.Uint64(signature)
	statement := fmt.Sprintf("cosignature/v1\ntime %d\n%s", time, text)
	return ed25519.Verify(c.PublicKey, []byte(statement), signature[8:])
}

func judgeNote(c noteCase) string {
	relay, err := note.NewVerifier(c.Verifier)
	if err != nil {
		return ""
	}
	known := []note.Verifier{relay}
	for _, cosigner := range c.Cosigners {
		known = append(known, cosigner)
	}
	opened, err := note.Open(c.Note, note.VerifierList(known...))
	if err != nil {
		return ""
	}
	var names []string
	for _, signature := range opened.Sigs {
		names = append(names, signature.Name)
	}
	sort.Strings(names)
	return strings.Join(names, " ")
}

func judgeLog(c logCase) bool {
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		var found []tlog.Hash
		for _, index := range indexes {
			found = append(found, stored[index])
		}
		return found, nil
	})
	for index, leaf := range c.Leaves {
		hashes, err := tlog.StoredHashes(int64(index), leaf, reader)
		if err != nil {
			return false
		}
		stored = append(stored, hashes...)
	}
	root, err := tlog.TreeHash(int64(len(c.Leaves)), reader)
	return err == nil && root == hashOf(c.Root)
}

func hashOf(bytes []byte) tlog.Hash {
	var hash tlog.Hash
	copy(hash[:], bytes)
	return hash
}

func proofOf(proof [][]byte) []tlog.Hash {
	var hashes []tlog.Hash
	for _, bytes := range proof {
		hashes = append(hashes, hashOf(bytes))
	}
	return hashes
}

func judgeRecord(c recordCase) bool {
	return tlog.CheckRecord(proofOf(c.Proof), c.Size, hashOf(c.Root), c.Index, tlog.RecordHash(c.Leaf)) == nil
}

func judgeTree(c treeCase) bool {
	return tlog.CheckTree(proofOf(c.Proof), c.Size2, hashOf(c.Root2), c.Size1, hashOf(c.Root1)) == nil
}

func main() {
	input, err := os.ReadFile(os.Args[1])
	if err != nil {
		panic(err)
	}
	var all cases
	if err := json.Unmarshal(input, &all); err != nil {
		panic(err)
	}
	var found verdicts
	for _, c := range all.Notes {
		found.Notes = append(found.Notes, judgeNote(c))
	}
	for _, c := range all.Logs {
		found.Logs = append(found.Logs, judgeLog(c))
	}
	for _, c := range all.Records {
		found.Records = append(found.Records, judgeRecord(c))
	}
	for _, c := range all.Trees {
		found.Trees = append(found.Trees, judgeTree(c))
	}
	if err := json.NewEncoder(os.Stdout).Encode(found); err != nil {
		panic(err)
	}
}
