package builtins

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"

	"nsh/lang"
	"nsh/runtime/fault"
	"nsh/runtime/plan"
)

// netModule is what a script can ask the network of the host.
func netModule(env *Env) *lang.Module {
	return lang.NewModule("net", "what the network of the host tells", append(netQuestions(env),
		lang.Func(`net.tcp(address, timeout="1s") -> bool`, `Tells whether something accepts connections there.

It answers a question: that nobody listens is no failure.

Args:
  address: "host:port"
  timeout: how long to wait for an answer
Example:
  print(net.tcp("127.0.0.1:1"))`, netTCP),
		lang.Func(`net.http(url, method="GET", body="", headers={}, timeout="10s") -> struct`, `Makes one request and gives struct(status, body, headers).

That no answer comes is a failure of kind unavailable; a status of 400 is an answer.

Args:
  url: "http://host:port/path"
  method: GET, POST, …
  body: what is sent
  headers: a dict
  timeout: for the whole of it
Example:
  r = attempt(net.http, "http://127.0.0.1:1/")
  print(r.error.kind)`, netHTTP))...)
}

func netTCP(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var address string
	timeout := lang.Duration(time.Second)
	if err := lang.UnpackArgs(b.Name(), args, kwargs, "address", &address, "timeout?", &timeout); err != nil {
		return nil, err
	}
	if _, _, err := net.SplitHostPort(address); err != nil {
		return nil, fault.New(fault.Invalid, "net.tcp: %s", err).WithHint(`an address is "host:port"`)
	}
	ctx := lang.Context(thread)
	if err := lang.Require(ctx, lang.HostNet, b.Name(), address); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(timeout))
	defer cancel()
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		if errors.Is(lang.Context(thread).Err(), context.Canceled) {
			return nil, fault.Wrap(context.Canceled, "connect to", address)
		}
		return starlark.False, nil
	}
	c.Close()
	return starlark.True, nil
}

// maxRedirects is that of Go's client.
const maxRedirects = 10

// maxBody bounds what an answer may fill our memory with.
const maxBody = 64 << 20

func netHTTP(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var url, body string
	method := "GET"
	var headers *starlark.Dict
	timeout := lang.Duration(10 * time.Second)
	if err := lang.UnpackArgs(b.Name(), args, kwargs, "url", &url, "method?", &method, "body?", &body, "headers?", &headers, "timeout?", &timeout); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(lang.Context(thread), time.Duration(timeout))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return nil, fault.New(fault.Invalid, "net.http: %s", err)
	}
	if err := lang.Require(ctx, lang.HostNet, b.Name(), req.URL.Host); err != nil {
		return nil, err
	}
	// A request that asks changes nothing; what any other does nobody knows beforehand.
	if p := plan.From(ctx); p != nil && method != "GET" && method != "HEAD" && method != "OPTIONS" {
		p.Add(plan.Change{Action: "run", Kind: "host", Name: method + " " + url})
		return nil, plan.NotKnown("the answer to " + method + " " + url)
	}
	if headers != nil {
		for _, kv := range headers.Items() {
			k, ok1 := starlark.AsString(kv[0])
			v, ok2 := starlark.AsString(kv[1])
			if !ok1 || !ok2 {
				return nil, fault.New(fault.Invalid, "net.http: headers are strings: got %s: %s", kv[0], kv[1])
			}
			req.Header.Set(k, v)
		}
	}
	// A transport of its own: nothing of one call, such as an idle connection
	// to a container that has gone since, is seen by the next.
	tr := &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}
	redirected := func(req *http.Request, via []*http.Request) error {
		if len(via) >= maxRedirects {
			return fault.New(fault.Unavailable, "stopped after %d redirects", maxRedirects)
		}
		return lang.Require(ctx, lang.HostNet, b.Name(), req.URL.Host)
	}
	resp, err := (&http.Client{Transport: tr, CheckRedirect: redirected}).Do(req)
	if err != nil {
		e := &fault.Error{Kind: fault.Unavailable, Op: "fetch", Subject: url, Message: err.Error()}
		switch k := fault.KindOf(err); k {
		case fault.Cancelled, fault.Timeout, fault.Denied:
			e.Kind = k
		}
		return nil, e
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err != nil {
		return nil, &fault.Error{Kind: fault.Unavailable, Op: "read the answer of", Subject: url, Message: err.Error()}
	}
	if len(data) > maxBody {
		return nil, fault.New(fault.Invalid, "net.http: %s answers with more than %d bytes", url, maxBody)
	}
	h := starlark.NewDict(len(resp.Header))
	for k, v := range resp.Header {
		_ = h.SetKey(starlark.String(strings.ToLower(k)), starlark.String(strings.Join(v, ", ")))
	}
	h.Freeze()
	return starlarkstruct.FromStringDict(starlarkstruct.Default, starlark.StringDict{
		"status": starlark.MakeInt(resp.StatusCode), "body": starlark.String(data), "headers": h,
	}), nil
}
