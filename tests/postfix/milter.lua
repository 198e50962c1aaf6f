-- The MTA's side of the protocol by libmilter's own test tool: `miltertest -D socket=... -s milter.lua`.
-- A node answers that takes every mail.

local function expect(what, got, want)
  if got ~= want then
    error(what .. ": got " .. tostring(got) .. ", wanted " .. tostring(want))
  end
end

local function session()
  local conn = mt.connect(socket)
  if conn == nil then
    error("no connection to " .. socket)
  end
  mt.conninfo(conn, "localhost", "127.0.0.1")
  return conn
end

local function envelope(conn, recipient, mailer)
  mt.macro(conn, SMFIC_MAIL, "{mail_addr}", "ann@home.invalid")
  mt.mailfrom(conn, "<ann@home.invalid>")
  mt.macro(conn, SMFIC_RCPT, "{rcpt_addr}", recipient, "{rcpt_mailer}", mailer)
  mt.rcptto(conn, "<" .. recipient .. ">")
  mt.data(conn)
end

-- Mail for others is let go at once.
local conn = session()
envelope(conn, "bob@dest.invalid", "smtp")
expect("mail for others", mt.getreply(conn), SMFIR_ACCEPT)
mt.disconnect(conn)

-- Mail for the network is taken out of the MTA's hands.
conn = session()
envelope(conn, "bob@dest.invalid.fog", "fog")
expect("mail for the network", mt.getreply(conn), SMFIR_CONTINUE)
mt.header(conn, "Subject", "by miltertest")
mt.eoh(conn)
mt.bodystring(conn, "text\r\n")
mt.eom(conn)
expect("its end", mt.getreply(conn), SMFIR_CONTINUE)
if not mt.eom_check(conn, MT_RCPTDELETE, "<bob@dest.invalid.fog>") then
  error("the recipient is still there")
end
mt.disconnect(conn)
