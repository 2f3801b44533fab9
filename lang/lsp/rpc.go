package lsp

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/textproto"
	"strconv"
	"sync"
)

// maxMessage bounds a message: the largest script, twice over.
const maxMessage = 16 << 20

// message is one of JSON-RPC 2.0: a call has an ID and a method, a notification no ID,
// an answer no method.
type message struct {
	Version string           `json:"jsonrpc"`
	ID      *json.RawMessage `json:"id,omitempty"`
	Method  string           `json:"method,omitempty"`
	Params  json.RawMessage  `json:"params,omitempty"`
	Result  any              `json:"result,omitempty"`
	Error   *rpcError        `json:"error,omitempty"`
}

type rpcError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

// The codes of JSON-RPC and of LSP that are used.
const (
	codeParse          = -32700
	codeInvalidRequest = -32600
	codeUnknownMethod  = -32601
	codeInvalidParams  = -32602
	codeNotInitialized = -32002
)

var errMessage = errors.New("no message of JSON-RPC")

// read takes the next message off a stream. After an error other than errMessage the
// stream is of no more use.
func read(r *bufio.Reader) (*message, error) {
	head, err := textproto.NewReader(r).ReadMIMEHeader()
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(head.Get("Content-Length"))
	if err != nil || n < 0 || n > maxMessage {
		return nil, fmt.Errorf("a message of %q bytes", head.Get("Content-Length"))
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, err
	}
	var m message
	if json.Unmarshal(body, &m) != nil {
		return nil, errMessage
	}
	return &m, nil
}

// writer sends messages whole, from several goroutines.
type writer struct {
	mu sync.Mutex
	w  io.Writer
}

func (w *writer) send(m message) error {
	m.Version = "2.0"
	body, err := json.Marshal(m)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err = fmt.Fprintf(w.w, "Content-Length: %d\r\n\r\n%s", len(body), body)
	return err
}

// answer replies to a call. A nil result is null, which an answer must have.
func (w *writer) answer(id *json.RawMessage, result any) error {
	if result == nil {
		result = json.RawMessage("null")
	}
	return w.send(message{ID: id, Result: result})
}

func (w *writer) refuse(id *json.RawMessage, code int, text string) error {
	if id == nil {
		null := json.RawMessage("null")
		id = &null
	}
	return w.send(message{ID: id, Error: &rpcError{code, text}})
}
