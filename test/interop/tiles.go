// Audits a log of Sealog over HTTP with code that is not Sealog's: Go's sumdb/note and sumdb/tlog, by what C2SP tlog-tiles
// says of paths. Arguments: the log's URL, the value of the Authorization header, the verifier key, and any number of files
// with checkpoints that were seen before. Prints the size of the log and the number of records that it verified; or what is
// wrong, and ends with status 1.
package main

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const tileHeight = 8

var client = http.Client{Timeout: 20 * time.Second}

type log struct {
	url           string
	authorization string
}

func (l log) get(path string) ([]byte, error) {
	request, err := http.NewRequest("GET", l.url+"/"+path, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", l.authorization)
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", path, response.Status)
	}
	return io.ReadAll(response.Body)
}

func (l log) Height() int { return tileHeight }

func (l log) SaveTiles([]tlog.Tile, [][]byte) {}

func (l log) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var found [][]byte
	for _, tile := range tiles {
		// Go has the height of tiles in their paths, C2SP has not: there it is always 8.
		data, err := l.get(strings.Replace(tile.Path(), "tile/8/", "tile/", 1))
		if err != nil {
			return nil, err
		}
		found = append(found, data)
	}
	return found, nil
}

func openCheckpoint(signed []byte, verifier note.Verifier) (tlog.Tree, error) {
	opened, err := note.Open(signed, note.VerifierList(verifier))
	if err != nil {
		return tlog.Tree{}, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) < 3 || lines[0] != verifier.Name() {
		return tlog.Tree{}, fmt.Errorf("a checkpoint of another log")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return tlog.Tree{}, err
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize {
		return tlog.Tree{}, fmt.Errorf("a root of %d bytes", len(root))
	}
	tree := tlog.Tree{N: size}
	copy(tree.Hash[:], root)
	return tree, nil
}

// readBundle gives the entries of one bundle: each behind its length in two bytes.
func readBundle(data []byte) ([][]byte, error) {
	var entries [][]byte
	for len(data) > 0 {
		if len(data) < 2 {
			return nil, fmt.Errorf("a length is cut off")
		}
		length := int(binary.BigEndian.Uint16(data))
		data = data[2:]
		if len(data) < length {
			return nil, fmt.Errorf("an entry is cut off")
		}
		entries = append(entries, data[:length])
		data = data[length:]
	}
	return entries, nil
}

func (l log) checkRecords(tree tlog.Tree, hashes tlog.HashReader) error {
	for first := int64(0); first < tree.N; first += 1 << tileHeight {
		tile := tlog.Tile{H: tileHeight, L: -1, N: first >> tileHeight, W: 1 << tileHeight}
		if tree.N-first < 1<<tileHeight {
			tile.W = int(tree.N - first)
		}
		data, err := l.get(strings.Replace(tile.Path(), "tile/8/data/", "tile/entries/", 1))
		if err != nil {
			return err
		}
		entries, err := readBundle(data)
		if err != nil {
			return err
		}
		if len(entries) != tile.W {
			return fmt.Errorf("%d entries where there should be %d", len(entries), tile.W)
		}
		var indexes []int64
		for at := range entries {
			indexes = append(indexes, tlog.StoredHashIndex(0, first+int64(at)))
		}
		proven, err := hashes.ReadHashes(indexes)
		if err != nil {
			return err
		}
		for at, entry := range entries {
			if tlog.RecordHash(entry) != proven[at] {
				return fmt.Errorf("entry %d is not the one in the tree", first+int64(at))
			}
		}
	}
	return nil
}

func audit(l log, verifierKey string, earlier []string) error {
	verifier, err := note.NewVerifier(verifierKey)
	if err != nil {
		return err
	}
	signed, err := l.get("checkpoint")
	if err != nil {
		return err
	}
	tree, err := openCheckpoint(signed, verifier)
	if err != nil {
		return err
	}
	// Holds every tile against the root before it takes a hash from it.
	hashes := tlog.TileHashReader(tree, l)
	root, err := tlog.TreeHash(tree.N, hashes)
	if err != nil {
		return err
	}
	if root != tree.Hash {
		return fmt.Errorf("the tiles have another root")
	}
	if err := l.checkRecords(tree, hashes); err != nil {
		return err
	}
	for _, name := range earlier {
		bytes, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		old, err := openCheckpoint(bytes, verifier)
		if err != nil {
			return err
		}
		if old.N > tree.N {
			return fmt.Errorf("the log has become shorter")
		}
		proof, err := tlog.ProveTree(tree.N, old.N, hashes)
		if err != nil {
			return err
		}
		if err := tlog.CheckTree(proof, tree.N, tree.Hash, old.N, old.Hash); err != nil {
			return err
		}
	}
	fmt.Println("audited", tree.N)
	return nil
}

func main() {
	if err := audit(log{os.Args[1], os.Args[2]}, os.Args[3], os.Args[4:]); err != nil {
		fmt.Println("refused:", err)
		os.Exit(1)
	}
}
